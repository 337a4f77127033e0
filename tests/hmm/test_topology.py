"""HMM topologies: Kaldi's text form, shortest stays."""

import pytest

from hybridasr.errors import UserError
from hybridasr.hmm.topology import HmmState, TopologyEntry, make_topology, read_topology


def test_text_round_trip_and_kaldi_values():
    text = make_topology([2, 3], [1]).to_text()
    assert "<State> 1 <PdfClass> 1 <Transition> 1 0.75 <Transition> 2 0.25 </State>" in text
    assert "<State> 0 <PdfClass> 0 <Transition> 0 0.25 <Transition> 1 0.25" in text
    assert read_topology(text).to_text() == text


@pytest.mark.realdata
def test_is_the_topology_that_kaldi_made(ref_root):
    theirs = read_topology((ref_root / "kaldi_tri1_dsp20" / "topo").read_text())
    assert theirs.to_text() == make_topology(list(range(2, 51)), [1]).to_text()


def test_min_frames():
    topology = make_topology([2], [1])
    assert topology.for_phone(2).min_frames == 3
    assert topology.for_phone(1).min_frames == 3  # 0, then straight to 4 through 1, 2 or 3
    skip = TopologyEntry((1,), (HmmState(0, ((0, .5), (1, .25), (2, .25))),
                                HmmState(1, ((1, .5), (2, .5))), HmmState(-1, ())))
    assert skip.min_frames == 1


@pytest.mark.parametrize(("text", "message"), [
    ("", "no <TopologyEntry>"),
    ("<TopologyEntry> <State> 0 </State> </TopologyEntry>", "lacks <ForPhones>"),
    ("<TopologyEntry> <ForPhones> 1 </ForPhones> <State> 1 </State> </TopologyEntry>",
     "not numbered from 0"),
])
def test_malformed(text, message):
    with pytest.raises(UserError, match=message):
        read_topology(text, "topo")


def test_unknown_phone():
    with pytest.raises(UserError, match="phone 9 has no topology"):
        make_topology([2], [1]).for_phone(9)

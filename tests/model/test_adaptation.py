"""What a job decodes at a time: speakers together where a system adapts to them."""

from pathlib import Path

import pytest

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError
from hybridasr.model import adaptation as adapt
from hybridasr.model.adaptation import AdaptOptions, decoding_blocks


def test_blocks(monkeypatch):
    monkeypatch.setattr(adapt, "BLOCK_UTTERANCES", 3)
    utterances = [Utterance(f"u{n}", "ab"[n % 2], (), f"u{n}", f"{n}.wav") for n in range(8)]
    data = DataDir(Path("data"), {u.utterance: u for u in utterances}, {"feats.scp": {"u0": "x"}})
    assert [list(block.utterances) for block in decoding_blocks(data, by_speaker=True)] == [
        ["u0", "u2", "u4", "u6"], ["u1", "u3", "u5", "u7"]]
    blocks = decoding_blocks(data, by_speaker=False)
    assert [list(block.utterances) for block in blocks] == [
        ["u0", "u1", "u2"], ["u3", "u4", "u5"], ["u6", "u7"]]
    assert all(block.utterances[u] is data.utterances[u] for block in blocks
               for u in block.utterances)
    assert all(block.tables == data.tables for block in blocks)


@pytest.mark.parametrize("fault", [{"fmllr_passes": -1}, {"prior_frames": -0.5},
                                   {"nnet_passes": -1}, {"nnet_learning_rate": -1.0},
                                   {"nnet_prior_frames": -1.0}])
def test_options_out_of_range(fault):
    with pytest.raises(UserError, match=f"option {next(iter(fault))} is -.*; give 0 or more"):
        AdaptOptions(**fault)

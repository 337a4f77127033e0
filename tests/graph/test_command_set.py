"""From texts to a graph: new words, warnings of what sounds the same, faults."""

import logging

import numpy as np
import pytest

from hybridasr.corpus.command_list import Command
from hybridasr.decode.search import SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.graph.command_set import build_commands
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.tree.tree import allowed_tuples, monophone_tree

KNOWN = ["da3kai1", "guan1deng1", "kong1tiao2", "speech"]
NEW = ["kai1deng1", "da3guan1 tiao2", "da3 kai1"]


def model_of(words, path, **options):
    lexicon = build_lexicon(words)
    lang = prepare_lang(lexicon, default_phone_set(), path, LangOptions(**options))
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    return lang, TransitionModel(topology, allowed_tuples(tree, topology)), tree


@pytest.mark.parametrize("options", [{}, {"position_dependent": True}, {"share_tones": True}])
def test_new_words_are_as_good_as_known_ones(tmp_path, options):
    """The same results as with a lang directory that has all words."""
    spoken = [word for text in NEW for word in text.split()]
    small = model_of(KNOWN, tmp_path / "small", **options)
    large = model_of([*KNOWN, *spoken], tmp_path / "large", **options)
    assert small[0].phones.items() >= {(name, number) for name, number in large[0].phones.items()
                                       if not name.startswith("#")}
    ours, theirs = (build_commands([*KNOWN, *NEW], *model) for model in (small, large))
    transitions, rng = small[1], np.random.default_rng(0)
    for frames in (20, 40, 60):
        loglikes = 2 * rng.normal(size=(frames, small[2].num_pdfs)).astype(np.float32)
        found = [search(made.graph, transitions.tid_pdf[made.graph.ilabel], loglikes,
                        SearchOptions(beam=1e9, acoustic_scale=1 / 12)) for made in (ours, theirs)]
        assert found[0].total_cost == pytest.approx(found[1].total_cost, rel=1e-5)
        texts = [made.commands[tuple(path.words.tolist())].text
                 for made, path in zip((ours, theirs), found, strict=True)]
        assert texts[0] == texts[1] or set(texts) == {"da3kai1", "da3 kai1"}


def test_commands_that_sound_the_same(tmp_path, caplog):
    model = model_of(KNOWN, tmp_path)
    items = ["da3kai1", ("open", "da3 kai1"), ("open", "da kai"), "kong1tiao2"]
    with caplog.at_level(logging.WARNING, "hybridasr"):
        made = build_commands(items, *model)
    pairs = {(one.text, other.text) for one, other in made.alike}
    assert pairs == {("da3kai1", "da3 kai1"), ("da3kai1", "da kai")}
    assert sorted(made.commands[phrase].text for phrase in made.commands) == sorted(
        ["da3kai1", "da3 kai1", "da kai", "kong1tiao2"])
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 2
    assert any(m.startswith("commands 'da3kai1' and 'da") for m in caplog.messages)
    # The lang of an earlier list serves as well, and old words do no harm.
    again = build_commands(["kong1 tiao2"], made.lang, *model[1:])
    assert again.alike == []
    assert {made.lang.words[name] for name in ("da", "kai")} <= set(again.lang.words.values())


def test_faults_name_commands(tmp_path):
    model = model_of(KNOWN, tmp_path)
    with pytest.raises(UserError) as error:
        build_commands(["da3kai1", Command("xyzzy da3", "x", line=4),
                        Command("fa2 da3", "y", line=7)], *model, path="list.txt")
    first, second = str(error.value).splitlines()
    assert first.startswith("list.txt:4: command 'xyzzy da3': no pronunciation for 'xyzzy'; ")
    assert second.startswith("list.txt:7: command 'fa2 da3': 'fa2' needs the phones f, which the "
                             "model has never heard; ")
    with pytest.raises(UserError, match="no command in the list"):
        build_commands([], *model)
    with pytest.raises(UserError, match="^'da3kai1' is there already, as command 1"):
        build_commands(["da3kai1", ("id", "da3kai1")], *model)

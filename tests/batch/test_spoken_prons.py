"""Alignments cut into pronunciations and silences, and the verbs on them from end to end."""

import gzip

import numpy as np
import pytest

from hybridasr.batch.spoken_prons import SpokenPron, spoken_prons
from hybridasr.cli import main
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import LangOptions, prepare_lang, read_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.tree.tree import allowed_tuples, monophone_tree

WORDS = {"<UNK>": ["SPN"], "a": ["d", "d t"], "b": ["t d"], "c": ["t"]}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "positions"])
def system(request, tmp_path_factory):
    lexicon = make_lexicon({word: [Pronunciation(1.0, tuple(phones.split())) for phones in prons]
                            for word, prons in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set(), tmp_path_factory.mktemp("lang"),
                        LangOptions(position_dependent=request.param))
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    return lang, TransitionModel(topology, allowed_tuples(tree, topology)), tree


def aligned(phones, system, loops=1):
    """Transition-ids of phones: each state once and `loops` times more."""
    lang, transitions, tree = system
    ids = []
    for name in phones.split():
        phone = lang.phones[name]
        states = transitions.topology.for_phone(phone).states[:-1]
        for number, state in enumerate(states):
            tstate = transitions.transition_state(phone, number,
                                                  tree.pdf((phone,), state.pdf_class))
            onward = [to for to, _ in state.transitions].index(number + 1)
            ids += [transitions.transition_id(tstate, onward)]
            ids += [transitions.self_loop(tstate)] * loops
    return np.array(ids, np.int32)


def test_words_and_silences_with_their_frames(system):
    lang = system[0]
    marks = "SIL d_B t_E t_S SIL t_B d_E" if lang.position_dependent else "SIL d t t SIL t d"
    words = [lang.words[word] for word in ("a", "c", "b")]
    prons = spoken_prons(aligned(marks, system), words, lang, system[1])
    ids = [lang.phones[name] for name in marks.split()]
    # Silence has 5 states of two frames, the others 3.
    assert prons == [
        SpokenPron(0, 10, 0, (ids[0],)), SpokenPron(10, 12, words[0], (ids[1], ids[2])),
        SpokenPron(22, 6, words[1], (ids[3],)), SpokenPron(28, 10, 0, (ids[4],)),
        SpokenPron(38, 12, words[2], (ids[5], ids[6]))]


def test_other_words_are_refused(system):
    lang = system[0]
    marks = "d_S SIL" if lang.position_dependent else "d SIL"
    ids = aligned(marks, system)
    assert spoken_prons(ids, [lang.words["c"]], lang, system[1]) is None
    assert spoken_prons(ids, [lang.words["b"]], lang, system[1]) is None
    assert spoken_prons(ids, [], lang, system[1]) is None
    assert len(spoken_prons(ids, [lang.words["a"]], lang, system[1])) == 2


def test_from_alignments_to_a_lang_directory(spoken_world, tmp_path, capsys):
    """get-prons, dict-dir-add-pronprobs and prepare-lang, of a trained model's own alignments."""
    world = spoken_world
    ali = tmp_path / "ali"
    assert main(["align", *map(str, (world.train.path, world.lang.path, world.mono, ali))]) == 0
    assert main(["get-prons", *map(str, (world.train.path, world.lang.path, ali))]) == 0
    rows = [line.split() for line in
            gzip.decompress((ali / "prons.1.gz").read_bytes()).decode().splitlines()]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    for before, after in zip(rows, rows[1:], strict=False):
        begin = int(before[1]) + int(before[2]) if before[0] == after[0] else 0
        assert int(after[1]) == begin
    said = sum(len(u.words) for u in world.train.utterances.values())
    counts = [line.split() for line in (ali / "pron_counts_nowb.txt").read_text().splitlines()]
    assert sum(int(row[0]) for row in counts if row[1] != "<eps>") == said
    assert sum(int(row[0]) for row in counts) == len(rows)
    files = [ali / f"{name}_nowb.txt" for name in ("pron_counts", "sil_counts",
                                                   "pron_bigram_counts")]
    assert main(["dict-dir-add-pronprobs", *map(str, (world.lang.path, *files,
                                                    tmp_path / "new"))]) == 0
    assert main(["prepare-lang", str(tmp_path / "new"), str(tmp_path / "lang")]) == 0
    lang = read_lang(tmp_path / "lang")
    assert (lang.phones, lang.roots) == (world.lang.phones, world.lang.roots)
    # Every recording has noise before and behind its words.
    assert lang.silence_probs.begin > 0.9
    assert main(["align", *map(str, (world.train.path, lang.path, world.mono,
                                     tmp_path / "again"))]) == 0
    capsys.readouterr()
    assert main(["dict-dir-add-pronprobs", *map(str, (tmp_path / "new", *files[:2],
                                                    tmp_path / "x"))]) == 1
    assert "4 arguments are there" in capsys.readouterr().err
    assert main(["dict-dir-add-pronprobs", *map(str, (tmp_path / "new", files[0],
                                                    tmp_path / "new"))]) == 1
    assert "would be written over" in capsys.readouterr().err

"""Kaldi's directories as a `Lang`: out of L.fst, out of a lexicon, and damaged ones."""

import math

import pynini
import pytest

from hybridasr.errors import UserError
from hybridasr.graph.lexicon_fst import write_lexicon_fsts
from hybridasr.kaldi.lang_text import read_kaldi_lang
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set

WORDS = {"<UNK>": [(1.0, "SPN")], "<SIL>": [(1.0, "SIL")], "one": [(1.0, "d")],
         "two": [(1.0, "d t")], "both": [(1.0, "t"), (0.25, "d d"), (0.001, "t d t")]}


@pytest.fixture
def lang(request, tmp_path):
    """A directory of our own making with L.fst; parameters: LangOptions."""
    lexicon = make_lexicon({word: [Pronunciation(p, tuple(phones.split())) for p, phones in choices]
                            for word, choices in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), tmp_path / "lang",
                        getattr(request, "param", LangOptions()))
    write_lexicon_fsts(lang)
    return lang


def as_dict(pronunciations):
    return {word: {phones: pytest.approx(probability, rel=1e-5)
                   for probability, phones in choices}
            for word, choices in pronunciations.items()}


EACH = [LangOptions(), LangOptions(sil_prob=0.2), LangOptions(sil_prob=0.0),
        LangOptions(position_dependent=True)]


@pytest.mark.parametrize("lang", EACH, indirect=True)
def test_l_says_what_it_was_made_from(lang):
    found = read_kaldi_lang(lang.path)
    assert as_dict(found.pronunciations) == {
        word: {phones: probability for probability, phones in choices}
        for word, choices in lang.pronunciations.items()}
    for name in ("phones", "words", "silence_phones", "nonsilence_phones", "disambig_phones",
                 "optional_silence", "sil_prob", "oov", "position_dependent"):
        assert getattr(found, name) == getattr(lang, name), name
    assert found.topology_text == lang.topology_text
    assert sorted(phone for row in found.sets for phone in row) \
        == sorted(phone for root in found.roots for phone in root.phones) \
        == sorted(lang.silence_phones + lang.nonsilence_phones)


@pytest.mark.parametrize("lang", [EACH[0], EACH[3]], indirect=True)
def test_a_lexicon_in_place_of_l(lang):
    (lang.path / "L.fst").unlink()
    found = read_kaldi_lang(lang.path, sil_prob=0.3)
    assert found.pronunciations == lang.pronunciations
    assert (found.sil_prob, read_kaldi_lang(lang.path).sil_prob) == (0.3, 0.5)
    (lang.path / "lexiconp.txt").rename(lang.path / "lexicon.txt")
    (lang.path / "lexicon.txt").write_text("one d\ntwo d\n", encoding="utf-8")
    assert all(choices[0][0] == 1.0
               for choices in read_kaldi_lang(lang.path).pronunciations.values())
    (lang.path / "lexicon.txt").write_text("one q\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"lexicon\.txt: phone 'q(_S)?' of 'one' is not in phones"):
        read_kaldi_lang(lang.path)
    (lang.path / "lexicon.txt").write_text("three d\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"lexicon\.txt: word 'three' is not in words\.txt"):
        read_kaldi_lang(lang.path)
    (lang.path / "lexicon.txt").unlink()
    with pytest.raises(UserError, match=r"L\.fst is missing, and so are lexiconp\.txt and lex"):
        read_kaldi_lang(lang.path)


def test_other_files_that_are_missing_or_do_not_fit(lang):
    path = lang.path
    with pytest.raises(UserError, match="no such directory"):
        read_kaldi_lang(path / "none")
    with pytest.raises(UserError, match=r"leave sil_prob out"):
        read_kaldi_lang(path, sil_prob=0.5)
    (path / "oov.int").write_text("999\n")
    with pytest.raises(UserError, match=r"oov\.int: '999' is not the id of a word"):
        read_kaldi_lang(path)
    (path / "oov.int").unlink()
    assert read_kaldi_lang(path).oov == lang.words["<UNK>"]
    (path / "phones/silence.csl").write_text("1:400\n")
    with pytest.raises(UserError, match=r"silence\.csl: '400' is not the id of a phone"):
        read_kaldi_lang(path)
    (path / "phones/silence.csl").write_text("\n")
    with pytest.raises(UserError, match=r"silence\.csl: is empty"):
        read_kaldi_lang(path)
    (path / "silence.csl").write_text("1\n")  # the directory's own comes first
    assert read_kaldi_lang(path).silence_phones == [1]
    (path / "phones/disambig.int").unlink()
    with pytest.raises(UserError, match=r"disambig\.int is missing, also in phones/"):
        read_kaldi_lang(path)
    (path / "words.txt").unlink()
    with pytest.raises(UserError, match=r"words\.txt: no such file"):
        read_kaldi_lang(path)


def transducer(arcs, finals, start=0):
    """(source, phone, word, probability, target) rows as a transducer."""
    fst = pynini.Fst()
    fst.add_states(1 + max(max(arc[0], arc[4]) for arc in arcs))
    fst.set_start(start)
    for state in finals:
        fst.set_final(state)
    for source, phone, word, probability, target in arcs:
        fst.add_arc(source, pynini.Arc(phone, word, -math.log(probability), target))
    return fst


BEGIN = [(0, 0, 0, 0.5, 1), (0, 0, 0, 0.5, 2), (2, 1, 0, 1.0, 1)]
WORD = [(1, 3, 3, 0.5, 1), (1, 3, 3, 0.5, 2)]


def test_l_by_hand(lang):
    arcs = [*BEGIN, *WORD, (1, 4, 4, 0.4, 3), (3, 3, 0, 0.5, 2), (3, 3, 0, 0.5, 1)]
    transducer(arcs, [1]).write(str(lang.path / "L.fst"))
    found = read_kaldi_lang(lang.path)
    assert as_dict(found.pronunciations) == {3: {(3,): 1.0}, 4: {(4, 3): 0.4}}
    assert (found.sil_prob, found.optional_silence) == (0.5, 1)
    transducer([(0, 3, 3, 0.2, 0), (0, 4, 4, 1.0, 1), (1, 3, 0, 1.0, 0)], [0]).write(
        str(lang.path / "L.fst"))
    found = read_kaldi_lang(lang.path)
    assert as_dict(found.pronunciations) == {3: {(3,): 0.2}, 4: {(4, 3): 1.0}}
    assert (found.sil_prob, found.optional_silence) == (0.0, 1)


@pytest.mark.parametrize(("arcs", "finals", "message"), [
    ([*BEGIN, *WORD, (1, 3, 3, 0.5, 3)], [1, 3],
     "has another final state than the one where words begin"),
    ([(0, 0, 0, 0.5, 1), *WORD], [], "does not begin with one way on and one optional silence"),
    ([*BEGIN, (0, 1, 0, 0.5, 1), *WORD], [1], "does not begin with one way on and one optional"),
    ([(0, 0, 0, 0.5, 1), (0, 0, 0, 0.5, 2), (2, 1, 0, 0.9, 1), *WORD], [1],
     "has an optional silence that is not one phone"),
    ([(0, 0, 0, 0.5, 1), (0, 0, 0, 0.5, 2), (2, 1, 0, 1, 3), (3, 1, 0, 1, 1), *WORD], [1],
     "has an optional silence that is not one phone"),
    ([(0, 0, 0, 0.5, 1), (0, 0, 0, 0.5, 2), (2, 77, 0, 1, 1), *WORD], [1],
     "has the optional silence 77, which is not in phones.txt"),
    ([(0, 0, 0, 0.5, 1), (0, 0, 0, 0.2, 2), (2, 1, 0, 1, 1), *WORD], [1],
     "gives silence the probability 0.2 and its absence 0.5, a sum of 1 is expected"),
    (BEGIN, [1], "has no word"),
    ([*BEGIN, (1, 3, 77, 0.5, 1)], [1], "has an arc with word 77 where words begin"),
    ([*BEGIN, (1, 3, 0, 0.5, 1)], [1], "has an arc with word 0 where words begin"),
    ([*BEGIN, (1, 77, 3, 0.5, 1)], [1], "has phone 77, which is not in phones.txt"),
    ([*BEGIN, (1, 0, 3, 0.5, 1)], [1], "gives word 3 no phones"),
    ([*BEGIN, (1, 3, 3, 1.0, 1)], [1], "gives word 3 a pronunciation of probability 2"),
    ([*BEGIN, (1, 3, 3, 0.5, 3), (3, 4, 0, 1, 3)], [1], "has no chain of arcs from word 3 back"),
    ([*BEGIN, (1, 3, 3, 0.5, 3)], [1], "has no chain of arcs from word 3 back"),
    ([*BEGIN, (1, 3, 3, 0.5, 3), (3, 4, 4, 1, 1)], [1], "has no chain of arcs from word 3 back"),
    ([*BEGIN, (1, 3, 3, 0.5, 3), (3, 4, 0, 1, 1), (3, 3, 0, 1, 1)], [1],
     "has no chain of arcs from word 3 back"),
])
def test_transducers_of_another_form(lang, arcs, finals, message):
    transducer(arcs, finals).write(str(lang.path / "L.fst"))
    with pytest.raises(UserError) as caught:
        read_kaldi_lang(lang.path)
    assert str(caught.value).startswith(f"{lang.path / 'L.fst'}: {message}")
    assert "make_lexicon_fst.py" in str(caught.value)


def test_files_that_are_no_l(lang):
    file = lang.path / "L.fst"
    file.write_bytes((lang.path / "L_disambig.fst").read_bytes())
    with pytest.raises(UserError, match=r"it is L_disambig\.fst; take L\.fst"):
        read_kaldi_lang(lang.path)
    file.write_text("not a transducer")
    with pytest.raises(UserError, match=r"L\.fst: not an OpenFst binary file"):
        read_kaldi_lang(lang.path)
    pynini.Fst(arc_type="log").write(str(file))
    with pytest.raises(UserError, match="with .log. arcs; .vector. or .const."):
        read_kaldi_lang(lang.path)
    pynini.Fst().write(str(file))
    with pytest.raises(UserError, match="has no start state"):
        read_kaldi_lang(lang.path)

"""G: weights of every sentence against the definition, with the graph enumerated by hand."""

import itertools
import math

import pynini
import pytest

from hybridasr.errors import UserError
from hybridasr.lm.arpa import write_arpa
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.grammar import command_grammar, ngram_grammar
from hybridasr.lm.ngram import BEGIN, END

WORDS = {"<eps>": 0, "a": 1, "b": 2, "c": 3, "#0": 4, "<s>": 5, "</s>": 6}


def costs(fst, ids):
    """All costs of accepting `ids`, walked arc by arc; #0 reads nothing."""
    found = []

    def walk(state, place, cost, backoffs):
        final = float(fst.final(state))
        if place == len(ids) and math.isfinite(final):
            found.append(cost + final)
        for arc in fst.arcs(state):
            if arc.ilabel in (0, WORDS["#0"]):
                if backoffs < 4:
                    walk(arc.nextstate, place, cost + float(arc.weight), backoffs + 1)
            elif place < len(ids) and arc.ilabel == ids[place]:
                walk(arc.nextstate, place + 1, cost + float(arc.weight), 0)

    walk(fst.start(), 0, 0.0, 0)
    return found


def test_commands_are_equally_likely_and_nothing_else_is_accepted():
    phrases = [["a", "b"], ["a"], ["c", "c"], ["a"]]
    fst = command_grammar(phrases, WORDS)
    allowed = {(1, 2), (1,), (3, 3)}
    for length in range(4):
        for ids in itertools.product((1, 2, 3), repeat=length):
            found = costs(fst, ids)
            if ids in allowed:
                assert found == [pytest.approx(math.log(3), rel=1e-5)]
            else:
                assert not found


def test_loop_weights_by_hand():
    fst = command_grammar([["a"], ["b"]], WORDS, loop=True)
    assert not costs(fst, ())
    for length in (1, 2, 3):
        for ids in itertools.product((1, 2), repeat=length):
            assert costs(fst, ids) == [pytest.approx(length * math.log(4), rel=1e-5)]
    assert not costs(fst, (3,))


def test_large_lists_are_deterministic():
    words = {f"w{i}": i + 1 for i in range(3000)} | {"#0": 4000}
    fst = command_grammar([[f"w{i}"] for i in range(3000)], words)
    assert fst.num_states() == 2
    assert fst.properties(pynini.I_DETERMINISTIC, True) == pynini.I_DETERMINISTIC


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ngram_grammar_has_the_probability_of_the_arpa(tmp_path, order):
    model = estimate_ngram([["a", "b"], ["a", "b", "c"], ["c"], ["b", "a", "b"]], order)
    write_arpa(tmp_path / "lm.arpa", model)
    fst = ngram_grammar(tmp_path / "lm.arpa", WORDS)
    names = {1: "a", 2: "b", 3: "c"}
    for length in range(4):
        for ids in itertools.product((1, 2, 3), repeat=length):
            exact = -math.log(10) * model.sentence_log10_prob([names[i] for i in ids])
            found = costs(fst, ids)
            # The path that always takes the longest n-gram is there, and backing off where it
            # need not may only add cheaper ones.
            assert any(math.isclose(cost, exact, rel_tol=1e-4) for cost in found)
            assert min(found) <= exact * (1 + 1e-4)


def test_backoff_reads_disambiguation_and_writes_nothing():
    fst = ngram_grammar(estimate_ngram([["a", "b"]], 2), WORDS)
    labels = {(arc.ilabel, arc.olabel) for state in fst.states() for arc in fst.arcs(state)}
    assert (WORDS["#0"], 0) in labels
    assert not any(label in (WORDS[BEGIN], WORDS[END]) for pair in labels for label in pair)


def test_unknown_words():
    with pytest.raises(UserError, match="'z' is not in words.txt; add it"):
        command_grammar([["a"], ["a", "z"]], WORDS)
    with pytest.raises(UserError, match="no phrase"):
        command_grammar([], WORDS)
    with pytest.raises(UserError, match="empty phrase"):
        command_grammar([[]], WORDS)
    with pytest.raises(UserError, match="no word of the language model"):
        ngram_grammar(estimate_ngram([["y", "z"]], 2), WORDS)
    partly = ngram_grammar(estimate_ngram([["a", "z"], ["a"]], 2), WORDS)
    assert costs(partly, (1,))

"""Word error rates against a plain dynamic programme, and Kaldi's files byte for byte."""

import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.score.score_files import format_wer, write_scores
from hybridasr.score.wer import (
    GAP,
    align_words,
    bootstrap_interval,
    confusions,
    score_texts,
)

WORDS = st.lists(st.sampled_from(["打开", "空调", "a", "b", "ab"]), max_size=7)


def edit_distance(reference, hypothesis):
    """Fill the textbook table, one cell at a time."""
    cost = [[0] * (len(hypothesis) + 1) for _ in range(len(reference) + 1)]
    for i in range(len(reference) + 1):
        for j in range(len(hypothesis) + 1):
            if i == 0 or j == 0:
                cost[i][j] = i + j
                continue
            wrong = reference[i - 1] != hypothesis[j - 1]
            cost[i][j] = min(cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + wrong)
    return cost[-1][-1]


@given(WORDS, WORDS)
@settings(max_examples=200, deadline=None)
def test_alignment_is_cheapest_and_spells_both_sides(reference, hypothesis):
    alignment = align_words(reference, hypothesis)
    assert alignment.errors == edit_distance(reference, hypothesis)
    assert alignment.words == len(reference)
    assert [pair.reference for pair in alignment.pairs if pair.operation != "I"] == reference
    assert [pair.hypothesis for pair in alignment.pairs if pair.operation != "D"] == hypothesis
    for pair in alignment.pairs:
        assert (pair.operation == "I") == (pair.reference == GAP)
        assert (pair.operation == "D") == (pair.hypothesis == GAP)
        assert (pair.operation == "C") == (pair.reference == pair.hypothesis)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_rates_are_sums_of_distances(texts):
    reference = {f"u{n}": ref for n, (ref, _) in enumerate(texts)}
    hypothesis = {f"u{n}": hyp for n, (_, hyp) in enumerate(texts)}
    scores = score_texts(reference, hypothesis)
    distances = [edit_distance(ref, hyp) for ref, hyp in texts]
    words = sum(len(ref) for ref, _ in texts)
    assert (scores.errors, scores.words) == (sum(distances), words)
    assert scores.wer == (100 * sum(distances) / words if words else None)
    assert scores.ser == pytest.approx(100 * np.mean([d > 0 for d in distances]), rel=1e-12)
    letters = sum(edit_distance("".join(ref), "".join(hyp)) for ref, hyp in texts)
    assert scores.character_errors == letters


def test_kinds_of_error_and_character_rate():
    scores = score_texts({"a": ["打开", "空调", "吧"]}, {"a": ["请", "打开", "空气"]})
    assert [scores.count(operation) for operation in "CSID"] == [1, 1, 1, 1]
    assert scores.wer == 100.0
    # 打开空调吧 -> 请打开空气: one inserted, 调 changed, 吧 lost, of five
    assert scores.cer == pytest.approx(60.0, rel=1e-12)


def test_characters_are_letters_without_blanks():
    scores = score_texts({"a": ["turn", "on"]}, {"a": ["turno", "n"]})
    assert (scores.wer, scores.cer, scores.characters) == (100.0, 0.0, 6)


def test_missing_hypothesis_is_deleted_words():
    scores = score_texts({"a": ["x", "y"], "b": ["z"]}, {"b": ["z"]})
    assert scores.missing == ("a",)
    assert format_wer(scores) == "%WER 66.67 [ 2 / 3, 0 ins, 2 del, 0 sub ] [PARTIAL]"


@pytest.mark.parametrize("equivalent", [{"她": "他"}, lambda word: word.replace("她", "他")])
def test_equivalent_words_are_right(equivalent):
    texts = {"a": ["他", "来"]}, {"a": ["她", "去"]}
    scores = score_texts(*texts, equivalent=equivalent)
    assert (scores.errors, scores.character_errors) == (1, 1)
    assert score_texts(*texts).errors == 2


def test_equivalent_words_decide_the_alignment():
    alignment = align_words(["他", "来"], ["来", "她", "来"], {"她": "他"})
    assert [pair.operation for pair in alignment.pairs] == ["I", "C", "C"]


def test_confusions_by_count():
    scores = score_texts({"1": ["背景"], "2": ["背景"], "3": ["a", "北京"]},
                         {"1": ["北京"], "2": ["北京"], "3": ["北京"]})
    assert [tuple(row) for row in confusions(scores)] == [
        ("背景", "北京", "S", 2), ("a", GAP, "D", 1)]
    assert ("北京", "北京", "C", 1) in [tuple(row) for row in confusions(scores, correct=True)]


def test_bootstrap_of_two_units_is_the_exact_law():
    # Draws of two from rates 0/10 and 5/10: 0 %, 25 % (twice) or 50 %, a quarter each end.
    assert bootstrap_interval(np.array([0, 5]), np.array([10, 10])) == (0.0, 50.0)


def test_bootstrap_against_direct_resampling():
    rng = np.random.default_rng(3)
    words = rng.integers(1, 12, 150)
    errors = rng.binomial(words, 0.2)
    rates = []
    for _ in range(3000):
        chosen = [int(rng.random() * 150) for _ in range(150)]
        rates.append(100 * sum(errors[chosen]) / sum(words[chosen]))
    expected = np.percentile(rates, [2.5, 97.5])
    low, high = bootstrap_interval(errors, words, draws=3000)
    # Two Monte-Carlo runs of percentiles whose spread is about 2.
    np.testing.assert_allclose([low, high], expected, rtol=0, atol=0.35)
    assert low < 100 * errors.sum() / words.sum() < high


def test_bootstrap_reproduces_and_in_pieces_has_the_same_law(monkeypatch):
    errors, words = np.arange(50) % 3, np.full(50, 4)
    whole = bootstrap_interval(errors, words, seed=1)
    assert bootstrap_interval(errors, words, seed=1) == whole
    assert bootstrap_interval(errors, words, seed=2) != whole
    monkeypatch.setattr("hybridasr.score.wer._MAX_DRAWN", 900)
    assert bootstrap_interval(errors, words, seed=1) == pytest.approx(whole, rel=0.05)


def test_bootstrap_without_enough_to_draw_from():
    assert bootstrap_interval(np.array([1]), np.array([2])) is None
    assert bootstrap_interval(np.array([1, 1]), np.array([0, 0])) is None
    low, high = bootstrap_interval(np.array([1, 1, 0]), np.array([0, 5, 5]))
    assert 0 <= low < high < 100


def test_speakers_are_the_units_when_asked():
    reference = {f"{speaker}-{n}": ["x"] for speaker in "ab" for n in range(20)}
    hypothesis = {name: ["x" if name[0] == "a" else "y"] for name in reference}
    utt2spk = {name: name[0] for name in reference}
    by_speaker = score_texts(reference, hypothesis, utt2spk, resample="speaker").interval
    assert by_speaker == (0.0, 100.0)
    low, high = score_texts(reference, hypothesis, utt2spk).interval
    assert 25 < low < 50 < high < 75


REFERENCE = {"s2-01": ["d", "e"], "s1-01": ["打开", "空调"], "s1-02": ["a", "b", "c"]}
HYPOTHESIS = {"s2-01": ["d", "e"], "s1-01": ["打开", "x", "空气"], "s1-02": ["a", "b"]}
SPEAKERS = {"s2-01": "s2", "s1-01": "s1", "s1-02": "s1"}


def test_files_have_the_form_of_kaldi(tmp_path):
    scores = score_texts(REFERENCE, HYPOTHESIS, SPEAKERS)
    write_scores(tmp_path, scores)
    details = tmp_path / "scoring_kaldi" / "wer_details"
    wer_line = "%WER 42.86 [ 3 / 7, 1 ins, 1 del, 1 sub ]"
    assert (tmp_path / "wer").read_text() == (
        f"{wer_line}\n%SER 66.67 [ 2 / 3 ]\nScored 3 sentences, 0 not present in hyp.\n")
    assert (tmp_path / "scoring_kaldi/best_wer").read_text() == f"{wer_line} {tmp_path}/wer\n"
    assert (details / "per_utt").read_text() == (
        "s1-01 ref  打开  ***  空调\n"
        "s1-01 hyp  打开   x   空气\n"
        "s1-01 op     C    I     S \n"
        "s1-01 #csid 1 1 1 0\n"
        "s1-02 ref  a  b   c \n"
        "s1-02 hyp  a  b  ***\n"
        "s1-02 op   C  C   D \n"
        "s1-02 #csid 2 0 0 1\n"
        "s2-01 ref  d  e\n"
        "s2-01 hyp  d  e\n"
        "s2-01 op   C  C\n"
        "s2-01 #csid 2 0 0 0\n")
    assert (details / "per_spk").read_text() == (
        "SPEAKER         id       #SENT      #WORD       Corr        Sub        Ins        Del"
        "        Err      S.Err\n"
        "s1              raw          2          5          3          1          1          1"
        "          3          2\n"
        "s1              sys          2          5      60.00      20.00      20.00      20.00"
        "      60.00     100.00\n"
        "s2              raw          1          2          2          0          0          0"
        "          0          0\n"
        "s2              sys          1          2     100.00       0.00       0.00       0.00"
        "       0.00       0.00\n"
        "SUM             raw          3          7          5          1          1          1"
        "          3          2\n"
        "SUM             sys          3          7      71.43      14.29      14.29      14.29"
        "      42.86      66.67\n")
    assert (details / "ops").read_text() == (
        "insertion      ***       x    1\n"
        "correct          a       a    1\n"
        "correct          b       b    1\n"
        "deletion         c     ***    1\n"
        "correct          d       d    1\n"
        "correct          e       e    1\n"
        "correct       打开    打开    1\n"
        "substitution  空调    空气    1\n")
    low, high = scores.interval
    assert (details / "wer_bootci").read_text() == (
        f"Set1: %WER 42.86 95% Conf Interval [ {low:.2f}, {high:.2f} ]\n")
    assert (tmp_path / "confusions.tsv").read_text() == (
        "count\treference\thypothesis\toperation\n"
        "1\t***\tx\tinsertion\n1\tc\t***\tdeletion\n1\t空调\t空气\tsubstitution\n")


def test_scoring_again_without_speakers_leaves_no_old_table(tmp_path):
    write_scores(tmp_path, score_texts(REFERENCE, HYPOTHESIS, SPEAKERS))
    write_scores(tmp_path, score_texts({"s2-01": ["d"]}, {}))
    details = tmp_path / "scoring_kaldi" / "wer_details"
    assert sorted(path.name for path in details.iterdir()) == [
        "alignments.pra", "ops", "per_utt"]


def test_figures_are_a_results_row():
    figures = score_texts(REFERENCE, HYPOTHESIS).figures()
    assert figures["wer"] == 42.86
    assert (figures["ser"], figures["words"], figures["utterances"]) == (66.67, 7, 3)
    assert figures["wer_low"] <= 42.86 <= figures["wer_high"]


def test_noise_only_set_has_no_word_rate(tmp_path):
    scores = score_texts({"n1": [], "n2": []}, {"n1": ["x"], "n2": []})
    assert scores.figures() == {"wer": None, "wer_low": None, "wer_high": None, "cer": None,
                                "ser": 50.0, "words": 0, "utterances": 2}
    write_scores(tmp_path, scores)
    assert (tmp_path / "wer").read_text().startswith("%WER nan [ 1 / 0, 1 ins, 0 del, 0 sub ]\n")


def test_hypotheses_without_reference_are_left_out_with_a_warning(caplog):
    assert score_texts({"a": ["x"]}, {"a": ["x"], "b": ["y"]}).words == 1
    assert "1 hypotheses have no reference (first 'b')" in caplog.text


@pytest.mark.parametrize(("arguments", "reason"), [
    (({}, {}), "no references to score"),
    (({"a": ["x"]}, {"b": ["x"]}), "none of 1 hypotheses .first 'b'. has a reference"),
    (({"a": ["x"]}, {}, {"b": "s"}), "utterance 'a' has no speaker; add it to utt2spk"),
    (({"a": ["x"]}, {}, None, None, "speaker"), "give utt2spk"),
    (({"a": ["x"]}, {}, None, None, "word"), "resample is 'word'; give utterance or speaker"),
])
def test_what_cannot_be_scored_says_why(arguments, reason):
    with pytest.raises(UserError, match=reason):
        score_texts(*arguments)


def test_without_rapidfuzz_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("rapidfuzz"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"pip install 'hybridasr\[score\]'"):
        align_words(["a"], ["b"])

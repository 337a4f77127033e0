"""The neural language model against finite differences, a slow twin, and sums over all words."""

import math
from collections import Counter

import numpy as np
import pytest

from hybridasr.errors import DamagedFile, NotEnoughData, UserError
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.interpolate import estimate_weights
from hybridasr.lm.mixture import MixtureModel
from hybridasr.lm.perplexity import TextScore, score_tokens
from hybridasr.lm.token_store import WordIds, sentence_tokens
from hybridasr.nnlm.lm_trainer import LmText, NnlmTrainOptions, stretches, train_neural_lm
from hybridasr.nnlm.neural_lm import NeuralLm, NnlmOptions, sentence_batches
from hybridasr.nnlm.nnlm_directory import load_neural_lm, save_neural_lm
from hybridasr.nnlm.word_classes import choose_words
from hybridasr.nnlm.word_layers import AdaptiveSoftmax, table_edges
from hybridasr.options import build_options

STEP = 1e-6
# Several parts of the softmax: 2 frequent classes, then up to 8, then up to 32.
COUNTS = Counter({f"w{number}": 1 + (number < 14) * (20 - number) for number in range(18)})
KINDS = [("lstm", True, 1), ("lstm", False, 2), ("gru", True, 2)]


def small_model(cell="lstm", tied=True, layers=1, dropout=0.0, frequent=2):
    words = choose_words(COUNTS, 9, 2)
    return NeuralLm(words, NnlmOptions(cell, 5, layers, tied, frequent, dropout), seed=3)


def in_float64(model):
    """The same model in float64, its parameters moved away from their first values."""
    rng = np.random.default_rng(8)
    for name, array in model.parameters.items():
        array = array + 0.3 * rng.standard_normal(array.shape)
        model.parameters[name] = array
        if name == "output.bias":
            model.softmax.bias = array
        elif name == "output.weights":
            model.softmax.weights = array
        else:
            number, _, own = name.partition(".")
            model.network.layers[int(number)].parameters[own] = array
    if model.options.tied:
        model.softmax.weights = model.parameters["0.weights"]
    return model


def slopes(function, array):
    """Central differences of a scalar by every number of `array`, in place."""
    result = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + STEP
        up = function()
        array[place] = kept - STEP
        result[place] = (up - function()) / (2 * STEP)
        array[place] = kept
    return result


def all_probs(model, states):
    """P of every word after each state, (num_states, num_words)."""
    count, size = len(states), len(model.words.words)
    return np.exp(model.log_probs(states, np.repeat(np.arange(count), size),
                                  np.tile(np.arange(size), count))).reshape(count, size)


@pytest.mark.parametrize(("cell", "tied", "layers"), KINDS)
def test_probabilities_sum_to_one_after_any_history(cell, tied, layers):
    rng = np.random.default_rng(0)
    model = in_float64(small_model(cell, tied, layers))
    states = np.repeat(model.start(), 6, axis=0)
    for _ in range(4):
        np.testing.assert_allclose(all_probs(model, states).sum(axis=1), 1, rtol=1e-12)
        states = model.advance(states, rng.integers(0, len(model.words.words), 6))
    assert np.ptp(all_probs(model, states)[:, 3]) > 1e-3  # the history matters


def test_one_part_and_many_parts_of_the_softmax_sum_to_one():
    rng = np.random.default_rng(1)
    for frequent in (1, 2, 5, 100):
        model = in_float64(small_model(frequent=frequent))
        states = rng.standard_normal((3, 10))
        np.testing.assert_allclose(all_probs(model, states).sum(axis=1), 1, rtol=1e-12)
    assert table_edges(15, 2) == (4, 10, 17)


@pytest.mark.parametrize(("cell", "tied", "layers"), KINDS)
def test_gradients(cell, tied, layers):
    model = in_float64(small_model(cell, tied, layers, dropout=0.3))
    rng = np.random.default_rng(2)
    present = np.arange(4) < np.array([4, 2, 3])[:, None]
    before, words = (model.rows(rng.integers(0, 18, (3, 4))) for _ in range(2))

    def mean_loss():
        return model.loss(before, words, present, np.random.default_rng(5))[0] / 9

    _, grads = model.loss(before, words, present, np.random.default_rng(5))
    grads = {name: array.copy() for name, array in grads.items()}
    assert set(grads) == set(model.parameters)
    for name, array in model.parameters.items():
        np.testing.assert_allclose(grads[name], slopes(mean_loss, array), rtol=1e-5, atol=1e-8)


def test_softmax_against_a_slow_twin():
    rng = np.random.default_rng(4)
    edges = (5, 9, 12)  # 2 clusters, 3 frequent classes; 4 classes, 3 classes
    weights, bias = rng.standard_normal((12, 4)), rng.standard_normal(12)
    softmax = AdaptiveSoftmax(weights, bias, edges)
    x = rng.standard_normal((5, 4))

    def slow(vector, row):
        part = 0 if row < 5 else 1 if row < 9 else 2
        first, last = [(0, 5), (5, 9), (9, 12)][part]
        logits = [sum(a * b for a, b in zip(vector, weights[n], strict=True)) + bias[n]
                  for n in range(12)]
        inside = math.exp(logits[row]) / sum(map(math.exp, logits[first:last]))
        return math.log(inside) + (slow(vector, part - 1) if part else 0.0)

    rows = np.array([2, 4, 5, 8, 11])
    expected = [slow(vector, row) for vector, row in zip(x, rows, strict=True)]
    np.testing.assert_allclose(softmax.log_probs(x, np.arange(5), rows), expected, rtol=1e-12)
    loss, dx, dweights, dbias = softmax.loss(x, rows)
    assert loss == pytest.approx(-sum(expected), rel=1e-12)
    for array, gradient in ((x, dx), (weights, dweights), (bias, dbias)):
        np.testing.assert_allclose(gradient, slopes(lambda: softmax.loss(x, rows)[0], array),
                                   rtol=1e-5, atol=1e-8)


def test_text_has_the_probabilities_of_its_words_one_by_one():
    model = in_float64(small_model("gru", True, 2))
    sentences = [["w1", "w17", "w3"], ["unheard", "w2"], ["w0"] * 70]
    ids = WordIds()
    scores = list(score_tokens(model, sentence_tokens(sentences, ids), ids))
    for words, score in zip(sentences, scores, strict=True):
        state, total = model.start(), 0.0
        for word in [*words, "</s>"]:
            number = np.array([model.ids.get(word, model.unknown)])
            total += model.log_probs(state, np.array([0]), number)[0] / math.log(10)
            state = model.advance(state, number)
        assert score.log10_prob == pytest.approx(total, rel=1e-9)
    assert [score.oovs for score in scores] == [0, 1, 0]
    assert list(score_tokens(model, [], ids)) == []


def test_words_that_are_rare_or_unknown_share_a_class():
    words = choose_words(Counter({"a": 3, "b": 2, "c": 1}), 4, 2, ["a", "b", "d"])
    assert (words.words, words.num_classes) == (("</s>", "<UNK>", "a", "b", "d"), 4)
    assert words.counts.tolist() == [4, 1, 3, 2, 0]
    np.testing.assert_allclose(np.exp(words.log_shares), [1, 2 / 3, 1, 1, 1 / 3])
    assert words.class_counts().tolist() == [4, 1, 3, 2]
    with pytest.raises(NotEnoughData, match="no word of the model occurs 2 times in the text"):
        choose_words(Counter({"a": 1}), 1, 2)


def test_stretches_hold_every_word_once():
    rng = np.random.default_rng(6)
    lengths = rng.integers(1, 30, 40)
    starts, parts = stretches(np.cumsum(lengths), 7)
    rows = np.zeros(lengths.sum(), np.int64)
    rows[:-1] = rng.integers(1, 9, len(rows) - 1)
    seen = []
    for before, words, present, places in sentence_batches(rows, starts, parts, 50, rng):
        assert (words[present] == rows[places]).all()
        assert (before[present] == rows[places - 1]).all()
        assert present.any(axis=0).all()
        assert present.size <= 50
        seen += places.tolist()
    assert sorted(seen) == list(range(len(rows)))


def random_sentences(rng, count):
    """The last word is the first one again: too far apart for an n-gram model."""
    sentences = []
    for _ in range(count):
        first = f"a{rng.integers(0, 4)}"
        sentences.append([first, *(f"b{n}" for n in rng.integers(0, 2, 4)), first])
    return sentences


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(11)
    texts = []
    for count in (300, 60):
        ids = WordIds()
        texts.append(LmText(np.concatenate(list(sentence_tokens(random_sentences(rng, count),
                                                                ids))), ids))
    options = build_options(NnlmTrainOptions, dim=16, dropout=0.1, epochs=15, batch_words=50,
                            learning_rate=0.01)
    return texts, options, *train_neural_lm(*texts, options)


def test_training_is_reproducible_and_learns_the_held_out_text(trained):
    (text, held_out), options, model, info = trained
    again, same = train_neural_lm(text, held_out, options)
    assert same == info
    for name, array in model.parameters.items():
        np.testing.assert_array_equal(array, again.parameters[name])
    score = held_out.score(model)
    assert score.perplexity == pytest.approx(info["held_out_perplexity"], abs=1e-3)
    # 4 ways to begin, 2 for each of four words, then all is certain: 2 to the power of 6/7.
    assert score.perplexity < 2.1


def test_a_training_goes_on_where_it_was_stopped(trained, tmp_path):
    texts, options, model, info = trained
    checkpoint, epochs = tmp_path / "checkpoint.npz", []

    def stop(_, figures):
        epochs.append(figures["epoch"])
        if len(epochs) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_neural_lm(*texts, options, keep=stop, checkpoint=checkpoint)
    assert checkpoint.is_file()
    again, same = train_neural_lm(
        *texts, options, keep=lambda _, figures: epochs.append(figures["epoch"]),
        checkpoint=checkpoint)
    # The epoch that was broken off is learned again, those before it are not.
    assert epochs[3:5] == [epochs[3]] * 2
    assert same == info
    for name, array in model.parameters.items():
        np.testing.assert_array_equal(array, again.parameters[name])
    assert not checkpoint.exists()


def test_held_out_sentences_are_drawn_where_none_are_given(trained):
    (text, _), options, _, _ = trained
    rest, held = text.split(0.1, 0)
    assert len(rest.sentence_ends()) == 270
    assert len(held.sentence_ends()) == 30
    assert sorted([*rest.tokens, *held.tokens]) == sorted(text.tokens)
    with pytest.raises(NotEnoughData, match="1 sentences are too few to hold some out"):
        train_neural_lm(LmText(text.tokens[:text.sentence_ends()[0]], text.ids), None, options)


def test_mixture_sums_the_models(trained):
    (text, held_out), _, model, _ = trained
    names = list(text.ids)
    sentences, one = [], []
    for token in text.tokens[:2000].tolist():
        sentences, one = ([*sentences, one], []) if token == 0 else (sentences,
                                                                     [*one, names[token]])
    ngram = estimate_ngram(sentences, 2, "witten-bell")
    blocks, ids = [held_out.tokens], held_out.ids
    weights, perplexity = estimate_weights([ngram, model], blocks, ids)
    mixture = MixtureModel([ngram, model], weights)
    total = sum(score_tokens(mixture, blocks, ids), TextScore())
    assert total.known_perplexity == pytest.approx(perplexity, rel=1e-6)
    assert weights[1] > 0.8
    tokens = np.array([0, mixture.ids["a1"], mixture.ids["</s>"]])
    begins = np.array([True, False, False])
    got = MixtureModel([ngram, model], (0.25, 0.75)).token_log10_probs(tokens, begins)
    state = model.start()
    own = np.exp(model.log_probs(state, np.array([0]), np.array([model.ids["a1"]])))[0]
    assert 10 ** got[1] == pytest.approx(0.25 * 10 ** ngram.log10_prob("a1", ("<s>",))
                                         + 0.75 * own, rel=1e-5)
    assert 10 ** MixtureModel([ngram, model], (1.0, 0.0)).token_log10_probs(
        tokens, begins)[2] == pytest.approx(10 ** ngram.log10_prob("</s>", ("<s>", "a1")), rel=1e-6)


def test_the_directory_and_what_is_wrong_with_it(trained, tmp_path):
    (_, held_out), _, model, info = trained
    save_neural_lm(tmp_path, model, info)
    assert held_out.score(load_neural_lm(tmp_path)) == held_out.score(model)
    for name, old, new, message in (
            ("nnlm.json", b'"format": 1', b'"format": 2', "nnlm.json: model format 2, this"),
            ("nnlm.json", b'"format": 1', b'"format": "1"', "no format number"),
            ("nnlm.json", b'"dim": 16', b'"dim": 0', "--dim 0; give 1 to"),
            ("nnlm.json", b'"dim": 16', b'"dim": 12', r"'0.weights' is .8, 16., .8, 12. is need"),
            ("nnlm.json", b'"num_classes": 8', b'"num_classes": 80', "the network 80 classes"),
            ("words.txt", b"<UNK> 0", b"<UNK> x", "words.txt:2: '<UNK> x' is not a word and its"),
            ("words.txt", b"<UNK>", b"UNK", "words.txt: does not begin with"),
            ("network.npz", b"PK", b"KP", "network.npz: damaged array file")):
        whole = (tmp_path / name).read_bytes()
        assert old in whole
        (tmp_path / name).write_bytes(whole.replace(old, new))
        with pytest.raises((DamagedFile, UserError), match=message):
            load_neural_lm(tmp_path)
        (tmp_path / name).write_bytes(whole)
    (tmp_path / "nnlm.json").unlink()
    with pytest.raises(UserError, match="no nnlm.json there; give a directory that train-nnlm"):
        load_neural_lm(tmp_path)

"""Owns the neural language model: an LSTM or GRU over words, and a softmax over their classes.

A sentence begins from a state of zeros with </s> as the word before it. Mikolov et al. 2010,
Recurrent neural network based language model; Sundermeyer et al. 2012, LSTM neural networks for
language modeling; Press and Wolf 2017, Using the output embedding to improve language models.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import Layer
from hybridasr.nnet.layers import Dropout, DropoutOptions
from hybridasr.nnet.network import Network
from hybridasr.nnet.recurrent import CellOptions, Gru, Lstm, LstmOptions
from hybridasr.nnlm.word_classes import END_ID, UNKNOWN_ID, WordClasses
from hybridasr.nnlm.word_layers import AdaptiveSoftmax, Embedding, EmbeddingOptions, table_edges
from hybridasr.options import option

BATCH_WORDS = 2048  # words that are scored at once
MOST_NUMBERS = 1 << 27  # of a table and the layers: 512 MB


@dataclass(frozen=True)
class NnlmOptions:
    """The network of a neural language model."""

    cell: str = option("lstm", "kind of the layers", ("lstm", "gru"))
    dim: int = option(128, "columns of the embedding, of each layer and of the output")
    layers: int = option(1, "recurrent layers")
    tied: bool = option(True, "one table of words for the embedding and the output")
    frequent: int = option(2000, "words that the first step of the softmax tells apart; more are "
                                 "slower")
    dropout: float = option(0.2, "share of the values between the layers that training drops")

    def __post_init__(self):
        for name, most in (("dim", 4096), ("layers", 16), ("frequent", 1 << 20)):
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"--{name} {getattr(self, name)}; give 1 to {most}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout {self.dropout:g}; give a number from 0 to below 1")


class NeuralLm:
    """A language model; ids of words are those of `words`, and -1 for any other word.

    Parameters
    ----------
    words : WordClasses
    options : NnlmOptions
    seed : int
        Of the first parameters.

    Attributes
    ----------
    parameters : dict of arrays
        Trained, in place.
    """

    def __init__(self, words: WordClasses, options: NnlmOptions, seed: int = 0):
        self.words, self.options = words, options
        edges = table_edges(words.num_classes, options.frequent)
        self._first_row = len(edges) - 1  # clusters come first
        rows, dim = edges[-1], options.dim
        if dim * (rows + 8 * dim * options.layers) > MOST_NUMBERS:
            raise UserError(f"{rows} classes and {options.layers} layers of {dim} columns are too "
                            "many numbers; give a smaller --dim, or a larger --min-count")
        layers: list[Layer] = []
        for kind, settings in _layers(options, rows):
            rng = np.random.default_rng([seed, len(layers)])
            layers.append(kind(settings, dim if layers else 1, 1, rng))
        self.network = Network(layers)
        rng = np.random.default_rng([seed, len(layers)])
        weights = layers[0].parameters["weights"] if options.tied else Embedding(
            EmbeddingOptions(rows, dim), 1, 1, rng).parameters["weights"]
        self.softmax = AdaptiveSoftmax(weights, _log_counts(words, edges), edges)
        self.parameters = {**self.network.parameters, "output.bias": self.softmax.bias}
        if not options.tied:
            self.parameters["output.weights"] = weights

    @property
    def ids(self) -> dict[str, int]:
        """Id of each word."""
        return self.words.ids

    @property
    def unknown(self) -> int:
        """Id of <UNK>, which stands for words that the model lacks."""
        return UNKNOWN_ID

    def rows(self, words: np.ndarray) -> np.ndarray:
        """Return the row of the tables for each word id."""
        return self.words.classes(words) + self._first_row

    def loss(self, before: np.ndarray, words: np.ndarray, present: np.ndarray,
             rng: np.random.Generator) -> tuple[float, dict[str, np.ndarray]]:
        """Compute the loss of sentences, and the gradients of its mean over words.

        Parameters
        ----------
        before, words : int (batch, time)
            Rows of the tables: the words before, and the words to be told.
        present : bool (batch, time)
            False behind the end of a sentence.
        rng : numpy.random.Generator
            For dropout.

        Returns
        -------
        loss : float
            The sum of -log P, natural logs.
        gradients : dict, named as `parameters`
        """
        y, caches = self.network.forward(before[..., None], True, rng)
        loss, dx, dweights, dbias = self.softmax.loss(y[present], words[present],
                                                      1.0 / max(1, present.sum()))
        dy = np.zeros_like(y)
        dy[present] = dx
        grads = self.network.backward(dy, caches)
        grads["output.bias"] = dbias
        if self.options.tied:
            grads["0.weights"] += dweights
        else:
            grads["output.weights"] = dweights
        return loss, grads

    def start(self) -> np.ndarray:
        """Return the state at the begin of a sentence: float (1, state_dim)."""
        return self.advance(np.zeros((1, self._state_dim), self.softmax.bias.dtype),
                            np.array([END_ID]))

    def advance(self, states: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the states after words.

        Parameters
        ----------
        states : float (count, state_dim)
        words : int (count,)
            Ids.
        """
        x, column, after = self.rows(words)[:, None, None], 0, []
        for layer in self.network.layers:
            if layer.local:  # embedding or dropout
                x = layer.forward(x)[0]
                continue
            size = self.options.dim
            parts = [np.ascontiguousarray(states[:, column + start:column + start + size])
                     for start in range(0, size * _parts(layer), size)]
            x, (state, _) = layer.advance(x, (tuple(parts) if len(parts) > 1 else parts[0], 0))
            after += state if len(parts) > 1 else [state]
            column += size * len(parts)
        return np.concatenate(after, axis=1)

    @property
    def _state_dim(self) -> int:
        return self.options.dim * sum(map(_parts, self.network.layers))

    def log_probs(self, states: np.ndarray, places: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return log P(word | state), natural logs.

        Parameters
        ----------
        states : float (count, state_dim)
        places, words : int (num_pairs,)
            Which state, and which word (its id).

        Returns
        -------
        float64 (num_pairs,)
        """
        last = self.options.dim * _parts(self.network.layers[-2])  # a dropout is behind it
        hidden = np.ascontiguousarray(states[:, states.shape[1] - last:][:, :self.options.dim])
        return self.softmax.log_probs(hidden, places, self.rows(words)) + self._shares(words)

    def token_log10_probs(self, tokens: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Return the log10 probability of each word of a text after the words before it.

        Parameters
        ----------
        tokens : integer array (num_tokens,)
            Ids of sentences in a row, each with a place for <s> and with </s>; -1 for a word that
            the model lacks.
        begins : bool array (num_tokens,)
            True at each <s>, which is given: its score is 0.

        Returns
        -------
        float64 array (num_tokens,), -inf for a word that is not in the model.
        """
        words = tokens[~begins]
        if not len(words):
            return np.zeros(len(tokens))
        rows = self.rows(words)
        ends = np.flatnonzero(words == END_ID) + 1
        starts = np.concatenate([[0], ends[:-1]])
        scores = np.empty(len(words))
        for before, targets, present, places in sentence_batches(
                rows, starts, ends - starts, BATCH_WORDS):
            y = self.network.forward(before[..., None])[0][present]
            for first in range(0, len(y), BATCH_WORDS):
                part = y[first:first + BATCH_WORDS]
                scores[places[first:first + BATCH_WORDS]] = self.softmax.log_probs(
                    part, np.arange(len(part)), targets[present][first:first + BATCH_WORDS])
        total = np.zeros(len(tokens))
        total[~begins] = np.where(words < 0, -np.inf, (scores + self._shares(words))
                                  / math.log(10))
        return total

    def _shares(self, words: np.ndarray) -> np.ndarray:
        return self.words.log_shares[np.where(words < 0, UNKNOWN_ID, words)]


def sentence_batches(rows: np.ndarray, starts: np.ndarray, lengths: np.ndarray, size: int,
                     rng: np.random.Generator | None = None
                     ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield stretches of a text, those of like length side by side.

    Parameters
    ----------
    rows : int (num_words,)
        Of whole sentences, each with </s> at its end: the word before a sentence is </s>, too.
    starts, lengths : int (num_stretches,)
    size : int
        Words of a batch; a longer stretch is a batch of its own.
    rng : numpy.random.Generator, optional
        Draws the order of the batches, and of the stretches of one length.

    Yields
    ------
    before, words : int (batch, time)
        Rows of the words before, and of the words.
    present : bool (batch, time)
    places : int (num_present,)
        Of the words in `rows`.
    """
    shifted = np.roll(rows, 1)  # the text ends with </s>
    order = np.arange(len(starts)) if rng is None else rng.permutation(len(starts))
    order = order[np.argsort(lengths[order], kind="stable")]
    cuts, first = [0], 0
    for number, length in enumerate(lengths[order].tolist()):
        if number > first and (number - first + 1) * length > size:
            cuts.append(number)
            first = number
    batches = [order[first:last] for first, last in zip(cuts, [*cuts[1:], len(order)],
                                                        strict=True)]
    for number in range(len(batches)) if rng is None else rng.permutation(len(batches)):
        batch = batches[number]
        present = np.arange(lengths[batch].max()) < lengths[batch][:, None]
        places = np.where(present, starts[batch][:, None] + np.arange(present.shape[1]), 0)
        yield shifted[places], rows[places], present, places[present]


def _layers(options: NnlmOptions, rows: int) -> Iterator[tuple[type[Layer], object]]:
    yield Embedding, EmbeddingOptions(rows, options.dim)
    yield Dropout, DropoutOptions(options.dropout)
    for _ in range(options.layers):
        yield ((Lstm, LstmOptions(options.dim)) if options.cell == "lstm"
               else (Gru, CellOptions(options.dim)))
        yield Dropout, DropoutOptions(options.dropout)


def _parts(layer: Layer) -> int:
    """Return of how many vectors a layer's state is: output and memory for an LSTM."""
    return {"lstm": 2, "gru": 1}.get(layer.kind, 0)


def _log_counts(words: WordClasses, edges: tuple[int, ...]) -> np.ndarray:
    """Return first biases with which the softmax knows how frequent classes are."""
    counts = words.class_counts() + 1.0
    ends = np.array(edges) - (len(edges) - 1)  # classes, without the clusters before them
    tails = [counts[start:end].sum() for start, end in zip(ends[:-1], ends[1:], strict=True)]
    bias = np.log(np.concatenate([tails, counts]))
    return (bias - bias.max()).astype(np.float32)

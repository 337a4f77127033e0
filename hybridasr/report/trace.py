"""Owns one utterance on its way through a model: every step as arrays, for pictures and pages.

The steps are those of the recogniser itself; here they are kept instead of passed on.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.batch.align_set import Aligner, utterance_tiers
from hybridasr.confidence.command_grammar import CommandGrammar
from hybridasr.confidence.decoded import Decoded
from hybridasr.decode.align import AlignOptions
from hybridasr.decode.search import Search, SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.front_end import FrontEnd
from hybridasr.features.mfcc import compute_features
from hybridasr.features.pipeline import Frames, base_pipeline
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.model.acoustic import AcousticModel, Scorer
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker, speaker_adaptation
from hybridasr.recognize.graph_grammar import GraphGrammar
from hybridasr.recognize.recognizer import Recognizer

# Likelihoods of mixtures are too sure of themselves: their columns are not independent.
MIXTURE_SCALE = 0.3
Tiers = dict[str, list[tuple[str, float, float]]]  # label, begin, end in seconds


@dataclass(frozen=True, eq=False)
class FeatureSteps:
    """The features of a recording: as computed, normalised, and as the model sees them."""

    raw: np.ndarray
    normal: np.ndarray
    frames: Frames


@dataclass(frozen=True, eq=False)
class SearchTrace:
    """The tokens of a search.

    Attributes
    ----------
    costs : float32 (num_frames, num_states)
        How much worse each living token is than the best of its frame; infinite where none lives.
    best : int64 (num_frames,)
        The state of the best path after each frame; -1 if there is none.
    beam : float
    """

    costs: np.ndarray
    best: np.ndarray
    beam: float


def feature_steps(model: AcousticModel, samples: np.ndarray) -> FeatureSteps:
    """Compute the features of a recording, step by step.

    Raises
    ------
    UserError
        if it is shorter than a frame.
    """
    raw = compute_features(samples, model.features)
    if len(raw) == 0:
        raise UserError(f"{len(samples)} samples are less than one frame of "
                        f"{model.features.window_samples}; give a longer recording")
    plain = FrontEnd.of(model.features, base_pipeline(model.pipeline), model.cmvn)
    return FeatureSteps(raw, plain.recording(samples)[0].features,
                        model.front_end.recording(samples)[0])


def decode_trace(recognizer: Recognizer, frames: Frames) -> tuple[Decoded, np.ndarray]:
    """Decode an utterance; return what was decoded and the scores of its last pass.

    Returns
    -------
    (Decoded, float32 (num_frames, num_pdfs))
    """
    model, decoded = recognizer.model, recognizer.decode(frames)
    feats = model.final_features(frames.features)
    speaker = speaker_adaptation(model, [feats], recognizer.adapt)
    # The same passes once more, with the paths that are known now.
    path = decoded.path
    ids = None if path is None or path.transition_ids.max(initial=0) > model.transitions.num_tids \
        else path.transition_ids
    while speaker.adapt([ids]):
        pass
    return decoded, speaker.scorer.loglikes(speaker.features[0])


def align_trace(model: AcousticModel, frames: Frames, text: str) -> tuple[Tiers, np.ndarray]:
    """Align an utterance with its transcript.

    Parameters
    ----------
    text : str
        Words of the model's lexicon with blanks between.

    Returns
    -------
    (words, phones and states with their times; transition-ids, int32 (num_frames,))

    Raises
    ------
    UserError
        if the lexicon lacks a word, or the words do not fit the recording.
    """
    aligner, words = Aligner(model, model.lang, AlignOptions()), _word_ids(model, text)
    paths: list[np.ndarray | None] = []

    def find_path(_: int, feats: np.ndarray, scorer: Scorer) -> np.ndarray | None:
        item = aligner.align(words, feats, scorer)
        paths.append(None if item is None else item.transition_ids)
        return paths[-1]

    adapt_speaker(model, [model.final_features(frames.features)], find_path, AdaptOptions())
    if paths[-1] is None:
        raise UserError(f"'{text}' cannot be aligned with the {len(frames.features)} frames of the "
                        "recording; check that this is what is said")
    return (utterance_tiers(paths[-1], words, model.lang, model.transitions, model.frame_shift),
            paths[-1])


def decoded_tiers(model: AcousticModel, decoded: Decoded) -> Tiers:
    """Return words, phones and states of what was decoded; nothing where there is no path."""
    path = decoded.path
    if path is None or path.transition_ids.max(initial=0) > model.transitions.num_tids:
        # The path is the filler's, whose units are no phones of the model.
        return {"words": decoded.times}
    tiers = utterance_tiers(path.transition_ids, (), model.lang, model.transitions,
                            model.frame_shift)
    return tiers | {"words": decoded.times}


def phone_posteriors(model: AcousticModel, loglikes: np.ndarray
                     ) -> tuple[np.ndarray, list[str]]:
    """Return how probable each phone is in each frame, and the phones' names.

    A network's posteriors; of mixtures, their scaled likelihoods with equal priors. Phones that
    share all their pdfs, such as the tones of a vowel in a small model, are one class with all
    their names; a pdf that others share counts for each class in equal parts.

    Returns
    -------
    (float64 (num_frames, num_classes), names)
    """
    scores = loglikes.astype(np.float64)
    scores = MIXTURE_SCALE * scores if model.nnet is None else scores + model.nnet.log_priors
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    pairs = np.unique(model.transitions.tuples[:, [0, 2]], axis=0)
    phones, rows = np.unique(pairs[:, 0], return_inverse=True)
    shares = np.zeros((scores.shape[1], len(phones)))
    shares[pairs[:, 1], rows] = 1.0
    alike: dict[bytes, list[int]] = {}
    for row in range(len(phones)):
        alike.setdefault(shares[:, row].tobytes(), []).append(row)
    shares = shares[:, [group[0] for group in alike.values()]]
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    return scores @ shares, [" ".join(model.lang.phone_name(int(phones[row])) for row in group)
                             for group in alike.values()]


def search_trace(recognizer: Recognizer, decoded: Decoded, loglikes: np.ndarray) -> SearchTrace:
    """Search once more, frame by frame, and keep the tokens of every frame.

    Of a command list, the search of the commands, without what else may be said.
    """
    grammar = recognizer.grammar
    if isinstance(grammar, CommandGrammar):
        scores = grammar.verifier.units.scores(loglikes)
        return trace_tokens(grammar.graph, grammar.graph_pdfs, scores, recognizer.options)
    assert isinstance(grammar, GraphGrammar)
    ids = None if decoded.path is None else decoded.path.transition_ids
    return trace_tokens(grammar.graph, grammar.arc_pdfs, loglikes, recognizer.options, ids)


def trace_tokens(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray,
                 options: SearchOptions, ids: np.ndarray | None = None) -> SearchTrace:
    """Run a search frame by frame and keep the cost of each living token.

    Parameters
    ----------
    graph, arc_pdfs, options
        As for `decode.search.Search`.
    ids : int32 (num_frames,), optional
        The path that wins; without it, the search's own.
    """
    search = Search(graph, arc_pdfs, options)
    costs = np.full((len(loglikes), graph.num_states), np.inf, np.float32)
    for frame in range(len(loglikes)):
        search.advance(loglikes[frame:frame + 1])
        states, values = search.tokens()
        if len(states):
            costs[frame, states] = values - values.min()
    path = search.finish()[0]
    if ids is None and path is not None:
        ids = path.transition_ids
    best = np.full(len(loglikes), -1) if ids is None else path_states(graph, ids)
    return SearchTrace(costs, best, options.beam)


def path_states(graph: DecodingGraph, ids: np.ndarray) -> np.ndarray:
    """Return the state after each frame of the cheapest path that reads these transition-ids.

    Parameters
    ----------
    ids : int32 (num_frames,)

    Returns
    -------
    int64 (num_frames,); -1 if the graph does not read them
    """
    # The ids leave few states open: each has its cost and the states of its path so far.
    alive: dict[int, tuple[float, tuple | None]] = {graph.start: (0.0, None)}
    for number in ids.tolist():
        reached: dict[int, tuple[float, tuple | None]] = {}
        for state, item in _closed(graph, alive).items():
            for arc in range(graph.arc_offsets[state], graph.eps_offsets[state]):
                if graph.ilabel[arc] == number:
                    _keep(reached, int(graph.nextstate[arc]), item[0] + float(graph.weight[arc]),
                          item)
        alive = {state: (cost, (state, before[1])) for state, (cost, before) in reached.items()}
    if not alive or len(ids) == 0:
        return np.full(len(ids), -1)
    ends = _closed(graph, alive)
    # As the search: where no state is final, all are, at no cost.
    paid = graph.final if np.isfinite(graph.final[list(ends)]).any() else np.zeros(len(graph.final))
    trail = ends[min(ends, key=lambda state: ends[state][0] + float(paid[state]))][1]
    states = []
    while trail is not None:
        states.append(trail[0])
        trail = trail[1]
    return np.array(states[::-1])


def _closed(graph: DecodingGraph, alive: dict) -> dict:
    """Return the states with all that epsilon arcs lead to."""
    closed, queue = dict(alive), list(alive)
    while queue:
        state = queue.pop()
        cost, trail = closed[state]
        for arc in range(graph.eps_offsets[state], graph.arc_offsets[state + 1]):
            target, total = int(graph.nextstate[arc]), cost + float(graph.weight[arc])
            # A gain within rounding would go round a cycle of no cost for ever.
            if target not in closed or total < closed[target][0] - 1e-9:
                closed[target] = (total, trail)
                queue.append(target)
    return closed


def _keep(reached: dict, state: int, cost: float, before: tuple) -> None:
    if state not in reached or cost < reached[state][0]:
        reached[state] = (cost, before)


def _word_ids(model: AcousticModel, text: str) -> tuple[int, ...]:
    lang = model.lang
    unknown = [word for word in text.split() if word not in lang.words]
    if unknown or not text.split():
        raise UserError(f"no word '{unknown[0]}' in the model's lexicon; write words of "
                        f"{lang.path / 'words.txt'} with blanks between" if unknown else
                        "the text is empty; give what is said")
    return tuple(lang.words[word] for word in text.split())

"""Owns the decoding of a set into labels, without lexicon and grammar: of CTC and transducers.

Writes ``labels`` and ``reference`` (an utterance and its labels a line) and ``summary.json``.
"""

import time
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.batch.driver import Results, SetBlocks, directory_stamp, once_a_worker, run_set
from hybridasr.corpus.datadir import DataDir
from hybridasr.ctc.label_search import LabelNgram, PrefixOptions, greedy_path, prefix_search
from hybridasr.ctc.label_units import spelled_in
from hybridasr.ctc.token_topology import label_names, phone_labels, transcript_labels
from hybridasr.ctc.transducer import Encoder, Transducer
from hybridasr.ctc.transducer_directory import is_transducer, load_transducer
from hybridasr.ctc.transducer_search import beam_labels, greedy_labels
from hybridasr.errors import UserError
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.feature_set import FeatureBlock
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.lexicon import find_pronunciations
from hybridasr.lm.model_file import read_ngram
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.options import option
from hybridasr.score.wer import Scores, score_texts
from hybridasr.storage import write_json, write_text


@dataclass(frozen=True)
class LabelDecodeOptions(PrefixOptions):
    """How labels are searched for; an n-gram needs a beam."""

    arpa: str = option("", "n-gram model of labels, of CTC alone", needs="label_beam")


class Labeler:
    """Finds the labels of utterances with one model.

    Parameters
    ----------
    directory : path
        Of train-ctc or train-transducer.

    Raises
    ------
    UserError
        if it is another model, or an n-gram is given for a transducer.
    """

    def __init__(self, directory: Path, options: LabelDecodeOptions):
        self.model: AcousticModel = load_model(directory)
        if self.model.nnet is None or self.model.info.get("criterion") != "ctc":
            raise UserError("is no model that writes labels; give one of train-ctc or "
                            "train-transducer", directory)
        self.names, self._options = label_names(self.model.lang), options
        self._nnet: NnetAcoustics = self.model.nnet
        self._transducer: Transducer | None = None
        self._lm: LabelNgram | None = None
        if is_transducer(directory):
            if options.arpa:
                raise UserError("is a transducer, whose network over labels takes the place of an "
                                "n-gram; leave --arpa out", directory)
            self._encoder = Encoder(self._nnet.network)
            self._transducer = load_transducer(directory, len(self.names) - 1, self._encoder.dim)
        elif options.arpa:
            self._lm = LabelNgram(read_ngram(Path(options.arpa)), self.names)

    def labels(self, feats: np.ndarray) -> tuple[int, ...]:
        """Return the labels of an utterance's features (num_frames, dim)."""
        if not len(feats):
            return ()
        beam = self._options.label_beam
        if self._transducer is not None:
            padded = self._nnet.network.with_context(self._nnet.scaled(feats))
            hidden = self._encoder.forward(padded[None])[0][0]
            return beam_labels(self._transducer, hidden, beam)[0][0] if beam else greedy_labels(
                self._transducer, hidden)
        log_probs = self._nnet.log_posteriors(feats)
        return prefix_search(log_probs, self._options, self._lm)[0][0] if beam else greedy_path(
            log_probs)


def reference_labels(data: DataDir, lang: Lang, units: str) -> dict[str, list[str]]:
    """Return the labels of all transcripts by name.

    Words that the model's lexicon lacks are looked up in the built-in tables; those that are not
    there either are what the OOV word is.
    """
    names, labels = label_names(lang), phone_labels(lang)
    spelled = {word: [names[label] for label in transcript_labels([number], lang, labels)]
               for word, number in lang.words.items() if number in lang.pronunciations}
    asked = {word for utterance in data.utterances.values() for word in utterance.words}
    unknown = spelled[lang.word_name(lang.oov)]
    looked_up = find_pronunciations(sorted(asked - {*spelled}))
    for word in asked - {*spelled}:
        phones = looked_up[word][0].phones if word in looked_up else ()
        spelled[word] = [*spelled_in(units, word, phones)] or unknown
    return {name: [label for word in utterance.words for label in spelled[word]]
            for name, utterance in data.utterances.items()}


def decode_labels(model: Path, data: DataDir, destination: Path, pool: Executor,
                  options: LabelDecodeOptions, known: str = "all") -> tuple[Scores, dict[str, Any]]:
    """Find the labels of every utterance, write and score them.

    Parameters
    ----------
    known : str
        What is known of a speaker when an utterance comes, as of `decode_set`.

    Returns
    -------
    scores : Scores
        Its words are labels.
    summary : dict
        What ``summary.json`` holds: ler (per cent), labels, utterances, hours, rtf.
    """
    key = (model, options, directory_stamp(model))
    labeler = once_a_worker(_labeler, key)
    loaded = labeler.model
    data = matching_features(data, loaded.features, pool)
    blocks = SetBlocks.of(data, loaded.normalization(data, known), False)
    hypotheses: dict[str, list[str]] = {}
    seconds = duration = 0.0
    for name, (labels, spent, length) in run_set(pool, _decode_block, blocks, key,
                                                 desc=f"labels of {data.path.name}"):
        hypotheses[name] = [labeler.names[label] for label in labels]
        seconds, duration = seconds + spent, duration + length
    references = reference_labels(data, loaded.lang, loaded.info.get("units", "phones"))
    reference = {name: labels for name, labels in references.items() if labels}
    scores = score_texts(reference, {name: labels for name, labels in hypotheses.items()
                                     if name in reference})
    for file, texts in (("labels", hypotheses), ("reference", reference)):
        write_text(destination / file, "".join(" ".join([name, *labels]) + "\n"
                                               for name, labels in texts.items()))
    summary = {"ler": None if scores.wer is None else round(scores.wer, 2), "labels": scores.words,
               "utterances": len(hypotheses), "hours": round(duration / 3600, 4),
               "rtf": round(seconds / max(duration, 1e-9), 5)}
    write_json(destination / "summary.json", summary)
    return scores, summary


def _labeler(key: tuple) -> Labeler:
    return Labeler(key[0], key[1])


def _decode_block(block: FeatureBlock, key: tuple) -> Results[tuple[tuple[int, ...], float, float]]:
    labeler, results = once_a_worker(_labeler, key), []
    shift = labeler.model.features.frame_shift_ms / 1000
    for name, feats in block.load():
        begun = time.perf_counter()
        labels = labeler.labels(labeler.model.final_features(feats))
        results.append((name, (labels, time.perf_counter() - begun, len(feats) * shift)))
    return results

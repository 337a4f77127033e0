"""Owns the frames that a training's alignment gives to a pdf."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.features.archives import read_scp
from hybridasr.features.feature_set import feature_blocks, with_features
from hybridasr.features.transforms import apply_transform
from hybridasr.model.acoustic import AcousticModel

MOST_UTTERANCES = 2000  # that are looked at
SEED = 0


def state_pdf(model: AcousticModel, directory: Path, phone: int, state: int) -> int:
    """Return the pdf of a phone's state that most frames of the training set are of.

    Raises
    ------
    UserError
        if the phone has no such state, or the directory no alignment.
    """
    transitions = model.transitions
    rows = np.flatnonzero((transitions.tuples[:, :2] == (phone, state)).all(axis=1))
    if len(rows) == 0:
        last = transitions.tuples[transitions.tuples[:, 0] == phone, 1].max(initial=0)
        raise UserError(f"phone '{model.lang.phone_name(phone)}' has no state {state}; give 0 to "
                        f"{last}")
    counts = np.zeros(transitions.num_tids + 1, np.int64)
    for _, ids in _alignments(directory):
        counts += np.bincount(ids, minlength=len(counts))[:len(counts)]
    frames = [counts[transitions.tids(int(row) + 1)].sum() for row in rows]
    return int(transitions.tuples[rows[int(np.argmax(frames))], 2])


def frames_of_pdf(model: AcousticModel, directory: Path, data: DataDir, pdf: int, most: int
                  ) -> np.ndarray:
    """Return frames that the model's own alignment gives to a pdf, as the mixture sees them.

    Parameters
    ----------
    directory : Path
        Of the model, with ``ali.scp`` and, of a speaker-adaptive system, ``trans.scp``.
    data : DataDir
        Its training set, with features.

    Returns
    -------
    float64 (n, dim), n at most `most`

    Raises
    ------
    UserError
        if alignment or features are missing or do not fit, or no frame is of the pdf.
    """
    alignments = dict(_alignments(directory))
    there = set(with_features(data))
    known = [name for name in alignments if name in there]
    transforms = read_scp(directory / "trans.scp") if (directory / "trans.scp").is_file() else {}
    parts: list[np.ndarray] = []
    for block in feature_blocks(data, model.normalization(data), ([name] for name in known)):
        speaker = block.utterances[0].speaker
        for name, expanded in block.load():
            feats, pdfs = model.final_features(expanded), model.transitions.tid_pdf[
                alignments[name]]
            if len(feats) != len(pdfs):
                raise UserError(f"its alignment of '{name}' has {len(pdfs)} frames, {data.path} "
                                f"{len(feats)}; give the set that it was trained on", directory)
            if speaker in transforms:
                feats = apply_transform(feats, transforms[speaker])
            parts.append(feats[pdfs == pdf])
        if sum(map(len, parts)) >= most:
            break
    if not sum(map(len, parts)):
        raise UserError(f"no frame of {data.path} is aligned with pdf {pdf}; give the set that the "
                        "model was trained on, or another pdf", directory)
    return np.concatenate(parts)[:most].astype(np.float64)


def _alignments(directory: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (utterance, transition-ids) of some utterances, drawn at random with a fixed seed."""
    if not (directory / "ali.scp").is_file():
        raise UserError("has no alignment (ali.scp); give a system that was trained here",
                        directory)
    table = read_scp(directory / "ali.scp")
    names = list(table)
    order = np.random.default_rng(SEED).permutation(len(names))[:MOST_UTTERANCES]
    for number in order.tolist():
        yield names[number], np.asarray(table[names[number]]).reshape(-1).astype(np.int64)

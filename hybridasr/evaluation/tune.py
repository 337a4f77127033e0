"""Owns the choice of a model's acoustic scale and word insertion penalty on held-out utterances.

The scale weighs a frame's likelihoods against the costs of the graph; neighbouring frames are not
independent, so that the best one is far below 1, and where it lies depends on the model.
"""

import itertools
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from hybridasr.batch.decode_set import decode_set
from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import NotEnoughData, UserError, require_extra
from hybridasr.evaluation.evaluate import score_set
from hybridasr.model.acoustic import DEFAULT_SCALE
from hybridasr.model.directory import OF_THIS_MODEL, load_model
from hybridasr.storage import PathLike, read_json, read_text, write_json

logger = logging.getLogger("hybridasr")
# Larger ones bring no fewer errors, and fewer of the commands that were never trained are accepted.
Pair = tuple[float, float | None]
SCALES = (0.05, 0.07, DEFAULT_SCALE, 0.12, 0.17)
# Scores that are frames apart depend less on each other: these come in with them.
MORE_SCALES = (0.25, 1 / 3)
# A network that was trained on whole sequences has learned its own scale: 1, or near it.
CHAIN_SCALES = (0.5, 0.7, 1.0, 1.4)


def tried_scales(subsampling: int, chain: bool = False) -> tuple[float, ...]:
    """Return the scales to try for a model with a score for so many frames.

    A score stands for all of them, and weighs as much as they would together.

    Parameters
    ----------
    chain : bool
        Whether the model is of train-chain.

    >>> [round(scale, 2) for scale in tried_scales(3)]
    [0.15, 0.21, 0.25, 0.36, 0.51, 0.75, 1.0]
    """
    if chain:
        return CHAIN_SCALES
    if subsampling == 1:
        return SCALES
    return tuple(subsampling * scale for scale in (*SCALES, *MORE_SCALES))


def tune_scale(model: PathLike, graph: PathLike, data: DataDir, pool: Executor,
               options: SearchOptions | None = None, equivalent: dict[str, str] | None = None,
               penalties: Sequence[float | None] = (None,)
               ) -> tuple[Pair, dict[Pair, float]]:
    """Decode a set with several acoustic scales; store the best in the model's ``model.json``.

    Each utterance is recognised on its own, as in use. A calibration to another scale is removed.

    Parameters
    ----------
    data : DataDir
        With transcripts; none of it used in training.
    equivalent : dict word -> class, optional
        As for `evaluate.score_set`.
    penalties : sequence of float
        Word insertion penalties, each of which is tried with each scale; None is the one of the
        options or else the model's own, which then stays as it is.

    Returns
    -------
    (the best pair of scale and penalty, word error rate in per cent by pair)
        Of equal error rates the least penalty wins, then the largest scale: its search is the
        quickest. The decodings are in ``tune`` below the model.

    Raises
    ------
    UserError
        as from `batch.decode_set.decode_set`, or if what scoring needs is not installed or the set
        has no words.
    """
    model, rates = Path(model), {}
    require_extra("rapidfuzz", "score", "error rates")
    if not any(utterance.words for utterance in data.utterances.values()):
        raise UserError("no words to score; give a set with transcripts", data.path / "text")
    options = options or SearchOptions()
    acoustic = load_model(model)
    scales = tried_scales(acoustic.subsampling, acoustic.transitions.topology.is_chain)
    for penalty, scale in itertools.product(penalties, scales):
        name = f"scale_{scale:.3g}" + ("" if penalty is None else f"_penalty_{penalty:g}")
        destination, tried = model / "tune" / name, replace(options, acoustic_scale=scale)
        if penalty is not None:
            tried = replace(tried, word_ins_penalty=penalty)
        decode_set(model, Path(graph), data, destination, tried, pool, known="none")
        rates[scale, penalty] = score_set(data, destination, equivalent).figures()["wer"]
    best = min(rates, key=lambda pair: (rates[pair], abs(pair[1] or 0.0), -pair[0]))
    logger.debug("acoustic scale: word error rate %s", ", ".join(
        f"{rate:.2f} % with {scale:.3g}" + ("" if penalty is None else f", penalty {penalty:g}")
        for (scale, penalty), rate in rates.items()))
    path = model / "model.json"
    values = read_json(path)
    # Its probabilities were fitted to ratios of costs at the old scale, and would be wrong.
    if values.get("acoustic_scale") != best[0]:
        for name in OF_THIS_MODEL:
            (model / name).unlink(missing_ok=True)
    write_json(path, {**values, "acoustic_scale": best[0],
                      **({} if best[1] is None else {"word_ins_penalty": best[1]})})
    return best, rates


def held_out(model: PathLike, data: DataDir) -> DataDir:
    """Return the utterances of a set that the training of a network only watched.

    Raises
    ------
    NotEnoughData
        if there are none.
    """
    path = Path(model) / "held_out"
    names = read_text(path).split() if path.is_file() else []
    utterances = {name: data.utterances[name] for name in names if name in data.utterances}
    if not utterances:
        raise NotEnoughData("names no utterance of this set that was held out of the training; "
                            "train with --held-out more than 0", path)
    return replace(data, utterances=utterances)

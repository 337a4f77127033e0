"""Owns the synthetic speakers of a recipe: they say its words or texts, and are aligned.

Only the networks hear them. The system that the networks learn from aligns the training set and
what they say together, so that its alignments are in one place.
"""

from collections import Counter
from concurrent.futures import Executor
from importlib.util import find_spec
from pathlib import Path

from hybridasr.batch.align_set import align_set
from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.datadir import DataDir, read_datadir
from hybridasr.corpus.join import without_strings
from hybridasr.corpus.subsets import combine
from hybridasr.corpus.synthetic_set import synthesize_set
from hybridasr.features.feature_set import make_feats, without_features
from hybridasr.lexicon.langdir import read_lang
from hybridasr.progress import logger
from hybridasr.recipe.command_stages import Stage
from hybridasr.recipe.config import SYNTHESIZE, WIDER, Recipe

SPEAKS = ("espeakng_loader", "pypinyin")  # the packages that speaking needs


def hears_synthetic(recipe: Recipe) -> bool:
    """Return whether the networks of a recipe hear synthetic speakers here.

    A warning says so if they should, and what speaks is not installed.
    """
    if not recipe.options[SYNTHESIZE].speakers:
        return False
    missing = [name for name in SPEAKS if find_spec(name) is None]
    if missing:
        logger.warning("no synthetic speakers, and more words wrong of people who were never "
                       "heard: '%s' is not installed; pip install 'hybridasr[synth]'", missing[0])
    return not missing


def wider_set(recipe: Recipe, data: Path, pool: Executor, stage: Stage) -> Path:
    """Write the training set with the synthetic speakers beside it; return its directory.

    Parameters
    ----------
    data : path
        Folder of the sets; the training set has its features.
    stage : callable
        As for `recipe.command_stages.command_stages`.
    """
    train, options = data / "train", recipe.options[SYNTHESIZE]
    features = recipe.options["features"]
    spoken, wider, file = data / "synthetic", data / WIDER, recipe.synthetic_texts

    def write() -> str:
        real = read_datadir(train)
        texts = (frequent_texts(real, options.most_texts) if file is None
                 else [" ".join(one.words) for one in read_commands(file)])
        others = synthesize_set(texts, spoken, features.sample_rate, options, pool)
        whole = combine([without_features(part) for part in (real, others)], wider)
        make_feats(whole, features, pool)
        return f"{len(others)} utterances of {len(others.speakers)} synthetic speakers"

    stage("synthetic speakers", [train / "text", train / "feats.ark", options, features,
                                 *([file] if file else [])],
          [wider / "feats.scp"], write, data / "log" / "synthetic.log", options)
    return wider


def wider_alignments(recipe: Recipe, source: Path, data: Path, pool: Executor, stage: Stage
                     ) -> Path:
    """Align the wider set with a system; return the directory of the alignments."""
    wider, destination = data / WIDER, source.parent / f"{source.name}_{WIDER}"

    def write() -> str:
        return align_set(read_datadir(wider), read_lang(data / "lang"), source, destination, pool)

    stage(f"alignments of {wider.name}", [source / "gmm.npz", wider / "feats.ark"],
          [destination / "ali.ark"], write, destination / "log" / "align.log",
          recipe.options[SYNTHESIZE])
    return destination


def frequent_texts(data: DataDir, most: int) -> list[str]:
    """Return the most frequent transcripts of a set, in order."""
    counts = Counter(" ".join(one.words) for one in without_strings(data).utterances.values()
                     if one.words)
    return sorted(text for text, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:most])

"""Owns how the networks of a recipe are trained, whichever they are."""

from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridasr.corpus.datadir import read_datadir
from hybridasr.lexicon.langdir import read_lang
from hybridasr.model.directory import save_model
from hybridasr.recipe.config import CHAIN, WAKE
from hybridasr.train.chain import chain_line, train_chain
from hybridasr.train.dnn import network_line, train_dnn


def train_recipe_network(name: str, train: Path, lang_dir: Path, source: Path, destination: Path,
                         pool: Executor, options: Any, threads: int) -> str:
    """Train a network of a recipe on the alignments in `source`; return its health line.

    Parameters
    ----------
    name : "dnn", "chain" or "wake"
        The last gets int8 weights.
    """
    data, lang = read_datadir(train), read_lang(lang_dir)
    if name == CHAIN:
        model = train_chain(data, lang, source, destination, pool, options, threads)
        return chain_line(destination, model.info)
    model = train_dnn(data, lang, source, destination, pool, options, threads)
    if name == WAKE and model.nnet is not None:
        save_model(replace(model, nnet=model.nnet.quantized()), destination)
    return network_line(destination, model.info)

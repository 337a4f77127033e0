"""A small world: words of phones that sound like well separated Gaussians."""

from pathlib import Path

import numpy as np
import pytest

from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.features.archives import write_matrices
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.options import to_dict
from hybridasr.storage import write_json

LEXICON = {"da": "d a1", "ta": "t a1", "dai": "d ai4", "tai": "t ai4", "<UNK>": "SPN"}
DIM = 13
FEATURES = FeatureOptions()
PIPELINE = PipelineOptions(cmvn="none", delta_order=0)


def speak(words, rng, centres):
    """Frames of a word sequence: silence, then each phone for 6 to 12 frames, then silence."""
    phones = ["SIL", *(p for word in words for p in LEXICON[word].split()), "SIL"]
    frames = [centres[phone] + rng.normal(size=(int(rng.integers(6, 13)), DIM)) for phone in phones]
    return np.concatenate(frames).astype(np.float32)


def write_set(path, utterances, feats):
    """Write a data directory whose features are given."""
    write_datadir(path, utterances)
    write_matrices(path / "feats.ark", path / "feats.scp", sorted(feats.items()))
    write_json(path / "feature.json", to_dict(FEATURES))
    return read_datadir(path)


def build_graph(model, graph, kind, phrases=None):
    """Build a graph directory of a model; every word of its lexicon unless phrases are given."""
    make_graph(model.lang, model.transitions, model.tree, graph, kind,
               phrases or grammar_phrases(model.lang, None))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """(train data, test data, lang) of four words and 48 training utterances."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(7)
    centres = {phone: 4 * rng.normal(size=DIM) for phone in ("SIL", "SPN", "d", "t", "a1", "ai4")}
    lexicon = make_lexicon({word: [Pronunciation(1.0, tuple(phones.split()))]
                            for word, phones in LEXICON.items()})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), root / "lang")
    sets = {}
    for name, count in (("train", 48), ("test", 20)):
        words = [tuple(rng.choice(["da", "ta", "dai", "tai"], size=rng.integers(1, 4)))
                 for _ in range(count)]
        utterances = [Utterance(f"s{i % 3}-{i:03d}", f"s{i % 3}", tuple(map(str, said)),
                                f"s{i % 3}-{i:03d}", str(Path("/nowhere") / f"{i}.wav"))
                      for i, said in enumerate(words)]
        feats = {u.utterance: speak(u.words, rng, centres) for u in utterances}
        sets[name] = write_set(root / name, utterances, feats)
    return sets["train"], sets["test"], lang

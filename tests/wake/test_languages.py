"""Sounds of other languages than a wake word's count for less, those of its own as before."""

from dataclasses import replace

import numpy as np
import pytest
from command_world import make_network

from hybridasr.lexicon.phones import base_phone
from hybridasr.model.directory import load_model
from hybridasr.wake.languages import DISCOUNT, favour_language

ENGLISH = ("d", "t")  # by another spelling


@pytest.fixture(scope="module")
def model(spoken_world, tmp_path_factory):
    """A network two of whose phones are spelled as those of English are."""
    network = load_model(make_network(spoken_world, tmp_path_factory.mktemp("languages")))
    phones = {name.upper() if base_phone(name) in ENGLISH else name: number
              for name, number in network.lang.phones.items()}
    return replace(network, lang=replace(network.lang, phones=phones))


def senones(model, wanted):
    names = {number: base_phone(name) for name, number in model.lang.phones.items()}
    return {pdf for phone, _, pdf in model.transitions.tuples.tolist() if wanted(names[phone])}


def test_others_are_discounted_and_what_is_shared_is_not(model):
    mandarin = favour_language(model, ["a1", "l"])
    raised = mandarin.nnet.log_priors - model.nnet.log_priors
    capitals = [name.upper() for name in ENGLISH]
    english = senones(model, lambda name: name in capitals) - senones(
        model, lambda name: name not in capitals)
    assert english
    expected = np.zeros(model.nnet.num_pdfs)
    expected[sorted(english)] = DISCOUNT
    np.testing.assert_allclose(raised, expected, atol=1e-5)
    # Silence, noise and Mandarin as before; the model itself is not changed.
    feats = np.random.default_rng(0).normal(size=(20, len(model.nnet.shift))).astype(np.float32)
    before, after = model.nnet.loglikes(feats), mandarin.nnet.loglikes(feats)
    np.testing.assert_allclose(before - after, np.broadcast_to(expected, before.shape), atol=1e-4)


def test_phrases_of_all_languages_and_models_of_one_stay(model, spoken_world):
    assert favour_language(model, ["D", "a1"]) is model
    one = load_model(spoken_world.mono)
    assert favour_language(one, ["a1"]) is one

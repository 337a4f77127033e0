"""The passes over a speaker's utterances."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from command_world import make_adaptive

from hybridasr.errors import UserError
from hybridasr.features.feature_set import load_feats
from hybridasr.features.transforms import apply_transform
from hybridasr.model import adaptation
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker, speaker_adaptation
from hybridasr.model.directory import load_model


@pytest.mark.parametrize("fault", [{"fmllr_passes": -1}, {"prior_frames": -0.5},
                                   {"nnet_passes": -1}, {"nnet_learning_rate": -1.0},
                                   {"nnet_prior_frames": -1.0}])
def test_options_out_of_range(fault):
    with pytest.raises(UserError, match=f"option {next(iter(fault))} is -.*; give 0 or more"):
        AdaptOptions(**fault)


class Counting:
    """Scores nothing; stands for an acoustic model that does not adapt."""

    gmm = nnet = adaptation = None

    def scorer(self):
        return "the scorer"


def test_a_model_that_does_not_adapt_has_one_pass():
    utterances = [np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32)]
    speaker = speaker_adaptation(Counting(), utterances, AdaptOptions())
    assert speaker.scorer == "the scorer"
    assert [feats is utterance for feats, utterance in zip(speaker.features, utterances,
                                                           strict=True)] == [True, True]
    assert not speaker.adapt([None, None])
    assert speaker.transform is None
    calls = []
    assert adapt_speaker(Counting(), utterances, lambda *call: calls.append(call),
                         AdaptOptions()) is None
    assert [(number, scorer) for number, _, scorer in calls] == [(0, "the scorer"),
                                                                 (1, "the scorer")]


def test_a_network_is_fitted_to_speech_alone(monkeypatch):
    """Frames that a pass took for silence would swallow words in the passes that follow."""
    seen = []
    monkeypatch.setattr(adaptation, "speaker_parameters", lambda network: {})
    monkeypatch.setattr(adaptation, "fit_to_speaker", lambda nnet, feats, targets, *rest, seed:
                        seen.append(targets) or nnet)
    model = SimpleNamespace(adaptation=None, nnet=SimpleNamespace(network=None), silence_pdfs=[0],
                            subsampling=1,
                            transitions=SimpleNamespace(tid_pdf=np.array([-1, 0, 1, 2])),
                            scorer=lambda: None)
    speaker = speaker_adaptation(model, [np.zeros((4, 2), np.float32)],
                                 AdaptOptions(nnet_passes=1, fmllr_min_count=1.0))
    assert speaker.adapt([np.array([1, 2, 3, 1])])
    assert [pdfs.tolist() for pdfs in seen[0]] == [[-1, 1, 2, -1]]


def test_passes_of_an_adaptive_system(spoken_world, tmp_path):
    """The callback's passes are those of the object; too little speech ends them at once."""
    model = load_model(make_adaptive(spoken_world, tmp_path / "sat"))
    feats = [model.final_features(frames) for _, frames in
             load_feats(spoken_world.train, model.normalization(spoken_world.train))][:12]
    paths = [np.full(len(frames), number + 40, np.int32) for number, frames in enumerate(feats)]
    seen = []

    def find_path(number, frames, scorer):
        seen.append((number, frames, scorer))
        return paths[number]

    options = AdaptOptions(fmllr_passes=2, fmllr_min_count=10.0)
    transform = adapt_speaker(model, feats, find_path, options)
    assert len(seen) == 3 * len(feats)
    assert [scorer is model.adaptation.scorer for _, _, scorer in seen] == (
        [True] * 12 + [False] * 24)
    np.testing.assert_array_equal(seen[-1][1], apply_transform(feats[-1], transform))
    speaker, passes = speaker_adaptation(model, feats, options), 1
    while speaker.adapt(paths):
        passes += 1
    assert passes == 3
    np.testing.assert_array_equal(speaker.transform, transform)
    for few in (replace(options, fmllr_passes=0), replace(options, fmllr_min_count=1e9)):
        speaker = speaker_adaptation(model, feats, few)
        assert not speaker.adapt(paths)
        assert speaker.transform is None
    assert not speaker_adaptation(model, feats, options).adapt([None] * len(feats))

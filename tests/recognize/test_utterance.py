"""Frames that wait for the network count as silence where they are as quiet as the silence."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.decode.search import Ending
from hybridasr.recognize.utterance import LEAST_SILENCE, SMOOTHING, SpokenUtterance, _Pass


def pending(levels, decoded, silence):
    """Silence at the end of what is decoded, and how much of the rest goes on with it."""
    utterance = SpokenUtterance.__new__(SpokenUtterance)
    utterance._levels = np.split(np.asarray(levels, float), [7, 20, 21])
    utterance._pass = SimpleNamespace(frames=decoded)
    return utterance._pending_silence(silence)


WORD, QUIET = [9.0] * 30, [1.0, 1.3] * 20


@pytest.mark.parametrize(("levels", "count"), [
    (WORD + QUIET, 20),  # as quiet
    (WORD + QUIET[:25] + [1.9] + QUIET[26:], 5),  # up to the first that is louder
    (WORD + [8.0] * 5 + QUIET[5:], 20),  # a word that dies away makes nothing quiet
    (WORD + QUIET[:20] + [8.0] * 20, 0)])
def test_as_quiet_as_the_silence_before(levels, count):
    assert pending(levels, 50, 20) == count


@pytest.mark.parametrize("each", [1, 2, 3])
def test_the_end_of_speech_is_told_in_seconds(each):
    """Half a second of silence, whatever a score stands for; and as much after the network's."""
    for silence, waiting, rule in ((60, 0, "rule2"), (48, 0, None), (48, 6, "rule2")):
        utterance = SpokenUtterance.__new__(SpokenUtterance)
        utterance._endpoint = EndpointOptions()
        utterance._decoder = SimpleNamespace(
            model=SimpleNamespace(features=SimpleNamespace(frame_shift_ms=10.0)))
        utterance._levels = [np.array([9.0] * (180 - silence) + [1.0] * (silence + waiting))]
        utterance._pass = _Pass.__new__(_Pass)
        utterance._pass._model = SimpleNamespace(subsampling=each)
        utterance._pass.search = SimpleNamespace(
            ending=lambda count=silence: Ending(180 // each, count // each, 1.0, 1.0))
        utterance._pass.frames, utterance._pass.speechless = 180, 0
        assert utterance.rule() == rule


@pytest.mark.parametrize("each", [1, 2, 3])
def test_frames_and_speech_of_scores_that_stand_for_several(each):
    """Frames are those that scores stand for, as far as they have come; silence is in frames."""
    model = SimpleNamespace(subsampling=each, silence_pdfs=[0], final_features=lambda x: x,
                            nnet=SimpleNamespace(log_priors=np.log([0.5, 0.5])))
    one = _Pass.__new__(_Pass)
    one._model, one.input = model, SimpleNamespace(accept=lambda raw: raw)
    one.search, one._least, one._speech = SimpleNamespace(accept=lambda _: None), 0.5, 0.0
    one.frames = one.speechless = one._taken = one._scored = 0
    one._change = 1.0 - (1.0 - 1.0 / SMOOTHING) ** each
    one._silence = np.array(model.silence_pdfs)
    one._silence_priors = model.nnet.log_priors[one._silence]
    spoken = 0

    def scores(raw):
        nonlocal spoken
        count = -(-(one._taken) // each) - one._scored
        frames = each * (one._scored + np.arange(count))
        spoken += count
        # Speech up to frame 60, then silence.
        return np.log(np.where((frames < 60)[:, None], [0.02, 1.98], [1.98, 0.02]))

    one._scores = SimpleNamespace(accept=scores)
    decoded = [one.accept(np.zeros((size, 1))) for size in (1, 7, 40, 3, 49)]
    assert sum(decoded) == one.frames == 100
    assert spoken == -(-100 // each)
    # Smoothing takes as long in seconds.
    assert one.speechless == pytest.approx(35, abs=1.5 * each)


def test_too_little_silence_says_nothing():
    assert pending(WORD + QUIET, 50, LEAST_SILENCE - 1) == 0
    assert pending(WORD + QUIET, 70, 40) == 0  # nothing waits

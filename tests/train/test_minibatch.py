"""Which utterances a training only watches."""

import numpy as np

from hybridasr.train.minibatch import FrameSet


def test_what_nobody_said_is_never_watched(tmp_path):
    names = [f"u{number}" for number in range(200)]
    speakers = [f"real{number % 3}" if number < 60 else f"made{number}" for number in range(200)]
    frames = FrameSet(tmp_path / "none", np.zeros(200, np.int32), np.arange(201), names, names,
                      speakers, synthetic=frozenset(names[60:]))
    held = frames.held_out(0.1)
    # 140 made speakers do not turn three real ones into enough to hold one of them out.
    assert 0 < held[:60].sum() < 20
    assert not held[60:].any()

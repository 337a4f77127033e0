"""The level meter: on a terminal's line, gone before other lines."""

import io

import numpy as np

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.live.display import METER_WIDTH, LevelMeter
from hybridasr.live.ring_buffer import AudioBlock

FORM = RawFormat("f32le", 16000)


def drawn(values):
    stream = io.StringIO()
    meter = LevelMeter(stream)
    meter.show(AudioBlock(np.asarray(values, "<f4").tobytes(), FORM))
    return stream.getvalue()


def test_the_bar_follows_the_level():
    assert drawn(np.ones(100)) == "\r\x1b[K" + "#" * METER_WIDTH + "    0.0 dB"
    half = drawn(np.full(100, 10 ** (-30 / 20)))
    assert half.count("#") == METER_WIDTH // 2
    assert "-30.0 dB" in half
    assert "#" not in drawn(np.zeros(100))


def test_a_faulty_block_has_no_level():
    assert drawn([np.nan]) == ""

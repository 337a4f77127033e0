"""Enhancement: known filters, WebRTC called by hand, any cuts, nothing moved, what is refused."""

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.corpus.enhance import WEBRTC_DELAY, EnhanceOptions, Enhancer
from hybridasr.errors import UserError

RATE = 16000
ALL = EnhanceOptions(noise_suppression=2, auto_gain=True, high_pass=60.0)
webrtc = pytest.mark.skipif(importlib.util.find_spec("webrtc_noise_gain") is None,
                            reason="webrtc-noise-gain has wheels for Linux only")


def enhanced(samples, options, rate=RATE, cuts=()):
    enhancer = Enhancer(options, rate)
    parts = [enhancer.accept(part) for part in np.split(samples.astype(np.float32), cuts)]
    return np.concatenate([*parts, enhancer.finish()])


def tone(hertz, seconds=2.0, rate=RATE, level=8000.0):
    return level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def bursts(seed=1, seconds=4.0, rate=RATE):
    """Noise, with a tone of half a second in every second."""
    rng = np.random.default_rng(seed)
    noise = 300 * rng.standard_normal(int(seconds * rate))
    gate = np.arange(len(noise)) % rate >= rate // 2
    return noise + gate * sum(tone(hertz, seconds, rate, 2500) for hertz in (350, 700, 1750))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("hertz", [20, 60, 150, 1000])
def test_high_pass_is_butterworths(rate, hertz):
    """|H| = 1 / sqrt(1 + (cutoff / f)^4), frequencies warped as by the bilinear transform."""
    out = enhanced(tone(hertz, rate=rate), EnhanceOptions(high_pass=60.0), rate)[rate:]
    ratio = math.tan(math.pi * 60 / rate) / math.tan(math.pi * hertz / rate)
    assert math.sqrt(2) * out.std() == pytest.approx(8000 / math.sqrt(1 + ratio**4), rel=2e-3)


def test_an_offset_is_gone_from_the_first_sample():
    out = enhanced(500 + tone(1000, 0.1), EnhanceOptions(high_pass=60.0))
    assert np.abs(out - enhanced(tone(1000, 0.1), EnhanceOptions(high_pass=60.0))).max() < 1e-2


@webrtc
def test_blocks_are_those_of_webrtc():
    from webrtc_noise_gain import AudioProcessor

    samples = np.round(bursts())
    processor = AudioProcessor(0, 3)
    padded = np.concatenate([samples, np.zeros(320)]).astype("<i2")
    by_hand = np.concatenate([np.frombuffer(processor.Process10ms(block.tobytes()).audio, "<i2")
                              for block in padded.reshape(-1, 160)])
    expected = by_hand[WEBRTC_DELAY:WEBRTC_DELAY + len(samples)]
    assert np.array_equal(enhanced(samples, EnhanceOptions(noise_suppression=3)), expected)


@webrtc
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5000), st.lists(st.integers(0, 5000), max_size=8),
       st.sampled_from([8000, 11025, 16000]))
def test_cuts_change_no_bit(count, cuts, rate):
    samples = bursts(3, 1.0, RATE)[4000:4000 + count]
    whole = enhanced(samples, ALL, rate)
    assert len(whole) == count
    assert whole.dtype == np.float32
    assert np.array_equal(enhanced(samples, ALL, rate, sorted(cuts)), whole)


@webrtc
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("options", [EnhanceOptions(noise_suppression=1),
                                     EnhanceOptions(noise_suppression=4, auto_gain=True),
                                     EnhanceOptions(auto_gain=True)])
def test_nothing_is_moved(options, rate):
    """The band that WebRTC's own high-pass leaves alone comes out where it was."""
    samples = np.random.default_rng(2).standard_normal(rate).cumsum()
    samples = 3000 * np.diff(samples, prepend=0) * (np.arange(rate) % 4000 < 1200)
    out = enhanced(samples, options, rate)
    lags = range(-40, 41)
    match = [np.dot(samples[100:-100], np.roll(out, -lag)[100:-100]) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 1


@webrtc
def test_noise_falls_and_speech_stays():
    samples = bursts(seconds=8.0)
    loud = (np.arange(len(samples)) % RATE >= RATE // 2) & (np.arange(len(samples)) > 4 * RATE)
    gaps = (np.arange(len(samples)) % RATE < RATE // 2) & (np.arange(len(samples)) > 4 * RATE)

    def change(options, part):
        out = enhanced(samples, options)
        return 20 * np.log10(out[part].std() / samples[part].std())

    falls = [change(EnhanceOptions(noise_suppression=level), gaps) for level in (1, 2, 3, 4)]
    assert falls == sorted(falls, reverse=True)
    assert falls[0] < -4
    assert falls[3] < -10
    assert change(EnhanceOptions(noise_suppression=2), loud) > -3


@webrtc
def test_soft_speech_is_turned_up():
    samples = bursts(seconds=8.0) / 30
    out = enhanced(samples, EnhanceOptions(auto_gain=True))
    assert 20 * np.log10(out[4 * RATE:].std() / samples[4 * RATE:].std()) > 3


@webrtc
def test_the_next_stream_knows_nothing_of_the_last():
    enhancer = Enhancer(ALL, RATE)
    parts = [np.concatenate([enhancer.accept(bursts().astype(np.float32)), enhancer.finish()])
             for _ in range(2)]
    assert np.array_equal(*parts)


def test_without_options_nothing_is_done():
    samples = bursts().astype(np.float32)
    assert np.array_equal(enhanced(samples, EnhanceOptions(), 48000), samples)


@pytest.mark.parametrize(("options", "line"), [
    ({"noise_suppression": 5}, "option noise_suppression is 5; give 0 to 4"),
    ({"high_pass": float("nan")}, "option high_pass is nan; give 0 to 1000")])
def test_values_out_of_range(options, line):
    with pytest.raises(UserError, match=line):
        EnhanceOptions(**options)


@webrtc
def test_rates_that_do_not_fit():
    with pytest.raises(UserError, match="of 22050 Hz; they work up to 16000 Hz, leave them out"):
        Enhancer(EnhanceOptions(auto_gain=True), 22050)
    with pytest.raises(UserError, match="a high-pass of 500 Hz for audio of 1000 Hz; give less"):
        Enhancer(EnhanceOptions(high_pass=500.0), 1000)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    with pytest.raises(UserError, match=r"noise suppression and gain control need "
                       r"webrtc_noise_gain; run pip install 'hybridasr\[enhance\]'"):
        Enhancer(EnhanceOptions(noise_suppression=1), RATE)

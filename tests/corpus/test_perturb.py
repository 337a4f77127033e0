"""Perturbed samples: speed, volume, noise, rooms, and the noises made by the program."""

import numpy as np
import pytest
import soundfile
from scipy.signal import spectrogram, welch
from scipy.stats import kurtosis

from hybridasr.corpus.noises import event_noises, load_noises, synthetic_noises
from hybridasr.corpus.perturb import (
    add_noise,
    change_colour,
    change_speed,
    change_volume,
    limit_peak,
    speech_power,
)
from hybridasr.corpus.room import SPEED_OF_SOUND, _early_reflections, add_reverb, room_response
from hybridasr.errors import UserError

RATE = 16000


def rng(seed=0):
    return np.random.default_rng(seed)


def tone(hertz, seconds=1.0, level=3000.0, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def word(seconds=1.0, seed=0, rate=RATE):
    """Half a second of rough sound in the middle of faint noise."""
    count = round(seconds * rate)
    samples = rng(seed).normal(0, 2, count)
    samples[count // 4: 3 * count // 4] *= 1000
    return samples.astype(np.float32)


def peak_frequency(samples, rate=RATE):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return np.argmax(spectrum) * rate / (1 << 18)


# Speed and volume.

@pytest.mark.parametrize("factor", [0.9, 1.1, 0.5, 1.25])
@pytest.mark.parametrize("length", [16000, 8191, 1, 7])
def test_speed_changes_length(factor, length):
    changed = change_speed(word()[:length], factor)
    assert changed.dtype == np.float32
    # ceil in whole numbers: the factors are fractions of 20.
    twentieths = round(factor * 20)
    assert len(changed) == -(-length * 20 // twentieths)


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.93, 1.07])
def test_speed_changes_pitch_and_keeps_level(factor):
    changed = change_speed(tone(1000.0), factor)
    assert peak_frequency(changed) == pytest.approx(1000 * factor, rel=1e-3)
    middle = changed[2000:-2000]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(3000, rel=0.01)


def test_speed_does_not_alias():
    """7.8 kHz played 1.1 times as fast would be above half the rate."""
    changed = change_speed(tone(7800.0), 1.1)
    assert np.abs(changed[2000:-2000]).max() < 3  # 60 dB down


def test_speed_one_is_a_copy():
    samples = word()
    changed = change_speed(samples, 1.0)
    assert np.array_equal(changed, samples)
    assert not np.shares_memory(changed, samples)


def test_colour_is_a_smooth_curve():
    """The spectra of two noises, before and after, tell the same curve; its tilt is as asked."""
    tilts = []
    for seed in range(200):
        curve = colour_curve(seed, 4.0)
        # Neighbouring thirds of an octave differ little.
        assert np.abs(np.diff(curve)).max() < 6
        tilts.append(curve[0] - curve[-1])
    # From one end to the other a cosine goes twice its height; the third wave too.
    assert np.std(tilts) == pytest.approx(2 * 4.0 * np.hypot(1.0, 0.4), rel=0.2)
    np.testing.assert_allclose(colour_curve(3, 4.0, noise=1), colour_curve(3, 4.0), atol=0.2)
    samples = word()
    np.testing.assert_array_equal(change_colour(samples, RATE, 0.0, rng()), samples)
    assert len(change_colour(samples[:7], RATE, 4.0, rng())) == 7
    assert len(change_colour(samples[:0], RATE, 4.0, rng())) == 0


def colour_curve(seed, decibels, noise=0):
    """Decibels that a colour adds at frequencies from the lowest to the highest."""
    samples = rng(noise).normal(0, 300, RATE).astype(np.float32)
    after = change_colour(samples, RATE, decibels, rng(seed))
    powers = [welch(part, RATE, nperseg=512)[1] for part in (samples, after)]
    hertz = np.geomspace(60, 7900, 22)
    bins = np.rint(hertz / RATE * 512).astype(int)
    return 10 * np.log10(powers[1][bins] / powers[0][bins])


def test_volume_and_its_limit():
    samples = tone(440.0, level=10000.0)
    np.testing.assert_allclose(change_volume(samples, 0.25), samples / 4, rtol=1e-6, atol=0)
    loud = change_volume(samples, 8.0)
    assert 32766 < np.abs(loud).max() <= 32768
    np.testing.assert_allclose(loud / np.abs(loud).max(), samples / np.abs(samples).max(),
                               rtol=0, atol=1e-5)
    full = np.array([32767, -32768], np.float32)
    assert np.array_equal(limit_peak(full), full)


# Noise.

@pytest.mark.parametrize("snr", [-5.0, 0.0, 7.3, 20.0])
@pytest.mark.parametrize("noise_seconds", [0.13, 1.0, 5.0])
def test_snr_is_exact(snr, noise_seconds):
    samples = np.zeros(RATE, np.float32)
    samples[4000:12000] = tone(400.0, 0.5, level=1000.0)  # whole frames, whole periods
    noise = (500 + rng(1).normal(0, 300, round(noise_seconds * RATE))).astype(np.float32)
    added = add_noise(samples, noise, snr, rng(2)).astype(np.float64) - samples
    # Power of the tone where it sounds; the rest is silence and does not count.
    assert 10 * np.log10(1000**2 / 2 / np.mean(added**2)) == pytest.approx(snr, abs=0.01)
    assert abs(added.mean()) < 1e-2 * added.std()  # no offset came along


def test_speech_power_counts_the_active_part_only():
    short = np.concatenate([np.zeros(8000), tone(400.0, 0.5, 1000.0), np.zeros(24000)])
    assert speech_power(short.astype(np.float32)) == pytest.approx(500_000, rel=1e-4)
    assert speech_power((short + 700).astype(np.float32)) == pytest.approx(
        speech_power(short.astype(np.float32)), rel=1e-3)
    assert speech_power(tone(400.0, 1.0, 1000.0)) == pytest.approx(500_000, rel=1e-4)
    assert speech_power(np.zeros(0, np.float32)) == 0.0


def test_noise_is_cut_at_random_and_goes_round():
    samples, ramp = tone(400.0, 0.1, 100.0), np.arange(10000, dtype=np.float32)
    pieces = [add_noise(samples, ramp, 0, rng(seed)) - samples for seed in range(4)]
    # A ramp cut inside stays a ramp; the mean is off, so look at another place by its shape.
    for piece in pieces:
        assert np.ptp(np.diff(piece)) < 1e-3 * np.ptp(piece)
    saw = np.arange(100, dtype=np.float32)
    wrapped = [add_noise(samples, saw, 0, rng(seed)) - samples for seed in range(4)]
    for piece in wrapped:
        np.testing.assert_allclose(piece[100:], piece[:-100], rtol=0, atol=1e-2)
    assert len({int(np.argmin(piece[:100])) for piece in wrapped}) > 1


def test_loud_noise_does_not_clip_and_keeps_the_ratio():
    samples, noise = word(), rng(4).normal(0, 1, 40000).astype(np.float32)
    soft = add_noise(samples / 1000, noise, -10, rng(5))
    loud = add_noise(samples * 4, noise, -10, rng(5))
    assert np.abs(soft).max() * 4000 > 40000  # would clip
    assert 32766 < np.abs(loud).max() <= 32768
    np.testing.assert_allclose(loud / np.abs(loud).max(), soft / np.abs(soft).max(),
                               rtol=0, atol=1e-5)


# Rooms.

def reverberation_time(tail, rate):
    """Schroeder: the slope of the backward integral, from -5 to -25 dB."""
    decay = np.cumsum(tail[::-1].astype(np.float64)**2)[::-1]
    level = 10 * np.log10(decay / decay[0] + 1e-30)
    first, last = np.argmax(level < -5), np.argmax(level < -25)
    slope = np.polyfit(np.arange(first, last) / rate, level[first:last], 1)[0]
    return -60 / slope


@pytest.mark.parametrize("rt60", [0.1, 0.3, 0.6, 1.5])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_reverberation_time_and_direct_sound(rate, rt60):
    for seed in range(5):
        click = np.zeros(2 * rate, np.float32)
        click[100] = 10000
        heard = add_reverb(click, rate, rt60, 6.0, rng(seed))
        assert not heard[:100].any() or np.abs(heard[:100]).max() < 0.1
        assert np.argmax(np.abs(heard)) == 100  # the direct sound is not delayed
        tail = heard[101:]
        assert reverberation_time(tail, rate) == pytest.approx(rt60, rel=0.2)
        ratio = 10 * np.log10(heard[100]**2 / np.sum(tail.astype(np.float64)**2))
        assert ratio == pytest.approx(6.0, abs=0.01)
        assert np.sum(heard.astype(np.float64)**2) == pytest.approx(1e8, rel=1e-3)


def test_early_reflections_are_the_images():
    """The oracle mirrors the mouth at each wall by hand and counts what it hit."""
    size, mouth, ear = np.array([4.0, 3.0, 2.5]), np.array([1.0, 2.0, 1.2]), np.array([3.1, 1, 1.6])
    rate, count = 16000, 300  # 19 ms
    images = {tuple(np.round(mouth, 9)): 0}
    frontier = dict(images)
    for bounce in range(1, 8):
        found = {}
        for place in frontier:
            for axis in range(3):
                for wall in (0.0, size[axis]):
                    mirrored = list(place)
                    mirrored[axis] = round(2 * wall - place[axis], 9)
                    if tuple(mirrored) not in images:
                        found[tuple(mirrored)] = bounce
        images |= found
        frontier = found
    wanted, direct = np.zeros(count), np.linalg.norm(mouth - ear)
    for place, bounces in images.items():
        distance = np.linalg.norm(np.array(place) - ear)
        delay = int(np.rint((distance - direct) / SPEED_OF_SOUND * rate))
        if 0 < delay < count:
            wanted[delay] += (-1) ** bounces / distance
    assert np.count_nonzero(wanted) > 30
    np.testing.assert_allclose(_early_reflections(size, mouth, ear, rate, count), wanted,
                               rtol=1e-9, atol=1e-12)


def test_no_seam_between_images_and_tail():
    """Without its decay the mean power is level across 40 ms."""
    power = np.zeros(1600)
    for seed in range(200):
        response = room_response(RATE, 1.0, 0.0, rng(seed))
        response /= np.sqrt(np.sum(response[640:1600]**2))
        power += response[:1600]**2 * 10 ** (6 * np.arange(1600) / RATE)
    early, late = power[160:640].mean(), power[640:1120].mean()
    assert 10 * np.log10(early / late) == pytest.approx(0, abs=0.7)


def test_reverb_keeps_energy_length_and_seed():
    samples = word()
    heard = add_reverb(samples, RATE, 0.4, 3.0, rng(1))
    assert len(heard) == len(samples)
    assert np.sum(heard.astype(float)**2) == pytest.approx(np.sum(samples.astype(float)**2),
                                                           rel=1e-5)
    assert np.array_equal(heard, add_reverb(samples, RATE, 0.4, 3.0, rng(1)))
    assert not np.array_equal(heard, add_reverb(samples, RATE, 0.4, 3.0, rng(2)))


# Noises made by the program.

def test_synthetic_noises_sound_as_named():
    noises = synthetic_noises(RATE, seed=1)
    assert set(noises) == {"white", "pink", "brown", "babble", "hum", "clatter", "fan"}
    for samples in noises.values():
        assert samples.dtype == np.float32
        assert len(samples) == 20 * RATE
        assert samples.std() == pytest.approx(1000, rel=1e-3)
        pieces = samples.reshape(40, -1).std(axis=1)
        assert pieces.min() > 5  # no half second is silent
    for name, slope in (("white", 0), ("pink", -3), ("brown", -6)):
        hertz, power = welch(noises[name], RATE, nperseg=4096)
        band = (hertz > 100) & (hertz < 6400)
        measured = np.polyfit(np.log2(hertz[band]), 10 * np.log10(power[band]), 1)[0]
        assert measured == pytest.approx(slope, abs=0.2)
    spectrum = np.abs(np.fft.rfft(noises["hum"]))**2
    assert spectrum[1000::1000].sum() > 0.99 * spectrum.sum()  # 20 s: 50 Hz is bin 1000
    assert kurtosis(noises["clatter"]) > 5
    assert abs(kurtosis(noises["white"])) < 0.1
    envelope = np.abs(noises["babble"][: 20 * RATE]).reshape(-1, 160).mean(axis=1)
    movement = np.abs(np.fft.rfft(envelope - envelope.mean()))**2  # 100 a second, bins of 1/20 Hz
    assert movement[40:160].sum() > 0.5 * movement.sum()


def test_event_noises_come_and_go():
    noises = event_noises(RATE, seed=1)
    assert set(noises) == {"rustle", "household"}
    for samples in noises.values():
        assert samples.dtype == np.float32
        assert len(samples) == 20 * RATE
        assert samples.std() == pytest.approx(1000, rel=1e-3)
        levels = 20 * np.log10(samples.reshape(400, -1).std(axis=1))
        assert np.ptp(np.percentile(levels, (10, 90))) > 8
        # The bursts differ in colour: so do the frames' centres of power.
        hertz, _, power = spectrogram(samples, RATE, nperseg=512)
        centres = np.log2(hertz @ power / power.sum(axis=0))
        assert centres.std() > 0.5


@pytest.mark.parametrize("make", [synthetic_noises, event_noises])
def test_synthetic_noises_are_seeded(make):
    one, same, other = (make(8000, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not any(np.array_equal(one[name], other[name]) for name in one)


def test_load_noises(tmp_path):
    folder = tmp_path / "noise"
    (folder / "more").mkdir(parents=True)
    soundfile.write(folder / "b.wav", rng(1).normal(0, 0.1, (8000, 2)), 8000)
    soundfile.write(folder / "more" / "a.flac", rng(2).normal(0, 0.1, 16000), RATE)
    (folder / "README.txt").write_text("about the noises")
    noises = load_noises(folder, RATE)
    assert {name: len(samples) for name, samples in noises.items()} == {
        "b.wav": 16000, "more/a.flac": 16000}
    (folder / "broken.wav").write_bytes(b"RIFF damaged")
    with pytest.raises(UserError, match=r"broken.wav.*audio header is damaged.*copy"):
        load_noises(folder, RATE)
    soundfile.write(folder / "broken.wav", np.zeros(100), RATE)
    with pytest.raises(UserError, match=r"broken.wav.*silent.*take it out"):
        load_noises(folder, RATE)


def test_folder_without_noises(tmp_path):
    (tmp_path / "README.txt").write_text("nothing here")
    with pytest.raises(UserError, match="holds no recordings of noise.*put some there"):
        load_noises(tmp_path, RATE)
    with pytest.raises(UserError, match="no such folder of noises; check the path"):
        load_noises(tmp_path / "none", RATE)


def test_values_out_of_range():
    with pytest.raises(UserError, match="the noise has no samples"):
        add_noise(word(), np.zeros(0, np.float32), 3.0, rng())
    with pytest.raises(UserError, match="ratio of nan dB; give a finite"):
        add_noise(word(), word(), float("nan"), rng())
    with pytest.raises(UserError, match="speed 0.0 is out of range; give 0.25 to 4"):
        change_speed(word(), 0.0)
    with pytest.raises(UserError, match="gain -1 is out of range"):
        change_volume(word(), -1)
    with pytest.raises(UserError, match="a reverberation of 9 s; give 0.1 to 5"):
        room_response(RATE, 9, 0.0, rng())

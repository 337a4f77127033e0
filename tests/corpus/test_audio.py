"""Recordings: exact samples, resampling quality, parts, channels, commands, refusals."""

import struct
import time

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.audio import (
    audio_info,
    clipped_fraction,
    is_pipe,
    load_audio,
    load_utterance,
    resample,
    utterance_duration,
)
from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.errors import UserError

RATE = 16000


def noise(count=8000, channels=None):
    shape = count if channels is None else (count, channels)
    samples = np.random.default_rng(3).integers(-32768, 32768, shape).astype(np.int16)
    samples.flat[:2] = -32768, 32767
    return samples


@pytest.fixture
def wav(tmp_path):
    """A 16-bit wav of half a second, and its samples."""
    soundfile.write(tmp_path / "x.wav", noise(), RATE)
    return tmp_path / "x.wav", noise()


def patched(path, offset, data, cut=None):
    """Change bytes of a file, and cut it."""
    old = path.read_bytes()
    path.write_bytes((old[:offset] + data + old[offset + len(data):])[:cut])
    return path


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x y.wav", "声音.flac", "X.WAV", "x.aiff"])
def test_sixteen_bits_come_out_as_their_integers(tmp_path, name):
    soundfile.write(tmp_path / name, noise(), RATE, subtype="PCM_16")
    for source in (tmp_path / name, str(tmp_path / name)):
        samples = load_audio(source, RATE)
        assert samples.dtype == np.float32
        assert np.array_equal(samples, noise())


@pytest.mark.parametrize(("subtype", "step"), [("PCM_24", 0), ("PCM_32", 0), ("FLOAT", 0),
                                               ("DOUBLE", 0), ("PCM_U8", 256), ("ULAW", 1024),
                                               ("ALAW", 1024)])
def test_other_encodings_have_the_same_scale(tmp_path, subtype, step):
    soundfile.write(tmp_path / "x.wav", noise() / 32768, RATE, subtype=subtype)
    np.testing.assert_allclose(load_audio(tmp_path / "x.wav", RATE), noise(), rtol=0, atol=step)


@pytest.mark.parametrize("kind", ["ogg", "mp3"])
def test_lossy_encodings_come_close(tmp_path, kind):
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE) * 0.5
    soundfile.write(tmp_path / f"x.{kind}", tone, RATE)
    samples = load_audio(tmp_path / f"x.{kind}", RATE)
    level = np.sqrt(np.mean(samples[4000:12000] ** 2)) / 32768
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_float_wav_beyond_full_scale_is_kept(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.array([0.5, -2.0, 1.5]), RATE, subtype="FLOAT")
    assert load_audio(tmp_path / "x.wav", RATE).tolist() == [16384, -65536, 49152]


def test_float_wav_of_sixteen_bit_values_is_suspected(tmp_path, caplog):
    soundfile.write(tmp_path / "x.wav", noise().astype(float), RATE, subtype="FLOAT")
    load_audio(tmp_path / "x.wav", RATE)
    assert "x.wav: its float samples reach 32768, where 1 is full scale" in caplog.text


def test_digital_silence_is_fine(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(100, np.int16), RATE)
    assert not load_audio(tmp_path / "x.wav", RATE).any()


def test_channels(tmp_path):
    stereo = noise(channels=2)
    soundfile.write(tmp_path / "x.wav", stereo, RATE)
    for channel, column in ((0, 0), (1, 1), ("A", 0), ("B", 1), ("1", 1)):
        assert np.array_equal(load_audio(tmp_path / "x.wav", RATE, channel), stereo[:, column])
    mixed = load_audio(tmp_path / "x.wav", RATE)
    np.testing.assert_allclose(mixed, stereo.mean(axis=1), rtol=0, atol=0.01)
    with pytest.raises(UserError, match="channel 2 asked for, but the file has 2; give 0 to 1"):
        load_audio(tmp_path / "x.wav", RATE, 2)
    for channel in ("left", -1):
        with pytest.raises(UserError, match=f"channel '{channel}' is unknown; give mix, A, B or a"):
            load_audio(tmp_path / "x.wav", RATE, channel)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_parts_are_cut_exactly(tmp_path, kind):
    soundfile.write(tmp_path / f"x.{kind}", noise(), RATE)
    part = load_audio(tmp_path / f"x.{kind}", RATE, start=0.1, end=0.25)
    assert np.array_equal(part, noise()[1600:4000])
    assert np.array_equal(load_audio(tmp_path / f"x.{kind}", RATE, start=0.4), noise()[6400:])
    # Rounded cut times may outlast the recording a little.
    assert np.array_equal(load_audio(tmp_path / f"x.{kind}", RATE, end=0.9), noise())


def test_utterance_is_its_part(wav):
    utterance = Utterance("u", "s", (), "r", str(wav[0]), 0.1, 0.2)
    assert np.array_equal(load_utterance(utterance, RATE), wav[1][1600:3200])
    assert utterance_duration(utterance) == pytest.approx(0.1, abs=1e-9)
    assert utterance_duration(Utterance("u", "s", (), "r", str(wav[0]), 0.1)) == 0.4
    with pytest.raises(UserError, match="utterance 'u' has no recording; add it to wav.scp"):
        load_utterance(Utterance("u", "s", (), "r", ""), RATE)


@pytest.mark.parametrize(("start", "end", "message"), [
    (0, 1.1, "the part ends at 1.1 s, the recording at 0.500 s; mend segments"),
    (0.5, 0.6, "the part from 0.5 to 0.6 s is not in the recording of 0.500 s"),
    (0.6, None, "the part from 0.6 to the end s is not in the recording"),
    (0.3, 0.2, "the part from 0.3 to 0.2 s is not in the recording"),
    (-0.1, 0.2, "the part from -0.1 to 0.2 s is not in the recording"),
])
def test_parts_outside_the_recording(wav, start, end, message):
    with pytest.raises(UserError, match=f"x.wav: {message}"):
        load_audio(wav[0], RATE, start=start, end=end)


def test_info(wav):
    info = audio_info(wav[0])
    assert (info.sample_rate, info.channels, info.frames, info.seconds) == (RATE, 1, 8000, 0.5)
    assert (info.format, info.subtype) == ("WAV", "PCM_16")


def level_db(samples):
    middle = samples[len(samples) // 4: -len(samples) // 4]
    return 20 * np.log10(np.sqrt(2 * np.mean(middle.astype(float) ** 2)))


@pytest.mark.parametrize(("rate", "new"), [(48000, 16000), (44100, 16000), (22050, 16000),
                                           (8000, 16000), (11025, 8000), (16000, 8000),
                                           (16001, 16000), (96000, 16000)])
def test_resampling_keeps_what_fits_and_drops_what_does_not(rate, new):
    times = np.arange(rate) / rate
    nyquist = min(rate, new) / 2
    for part in (0.01, 0.3, 0.6, 0.9):
        tone = (10000 * np.sin(2 * np.pi * part * nyquist * times)).astype(np.float32)
        result = resample(tone, rate, new)
        assert len(result) == pytest.approx(new, abs=1)
        assert level_db(result) == pytest.approx(80, abs=0.1)
        wanted = 10000 * np.sin(2 * np.pi * part * nyquist * np.arange(len(result)) / new)
        error = (result - wanted)[new // 4: -new // 4]
        assert np.abs(error).max() < 20
    if rate > new * 1.1:
        for part in (1.01, 1.2, 0.95 * rate / new):
            tone = (10000 * np.sin(2 * np.pi * part * nyquist * times)).astype(np.float32)
            assert level_db(resample(tone, rate, new)) < 80 - 60
    # An image of a tone, where the rate goes up.
    tone = (10000 * np.sin(2 * np.pi * 0.6 * nyquist * times)).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(resample(tone, rate, new)[:new] * np.hanning(new)))
    peak = round(0.6 * nyquist)
    spectrum[peak - 8: peak + 9] = 0
    assert spectrum.max() < 10 ** (-60 / 20) * 10000 * new / 4


def test_other_rates_are_resampled_and_noted_once(tmp_path, caplog):
    soundfile.write(tmp_path / "x.wav", noise(), 8000)
    with caplog.at_level("DEBUG", "hybridasr"):
        assert load_audio(tmp_path / "x.wav", RATE).shape == (16000,)
        load_audio(tmp_path / "x.wav", RATE)
    assert caplog.text.count("8000 Hz, resampled to 16000 Hz") == 1
    message = "x.wav: 8000 Hz, the model wants 16000 Hz; convert it, or leave out --strict-rate"
    with pytest.raises(UserError, match=message):
        load_audio(tmp_path / "x.wav", RATE, strict_rate=True)


@pytest.mark.parametrize(("name", "contents", "message"), [
    ("x.wav", b"", r"the file is empty \(0 bytes\); copy or record it again"),
    ("x.wav", b"hello, this is a text\n", r"is a text file, not audio \(it begins with 'hello,'"),
    ("x.mp3", "这是文字，不是声音，不是声音".encode(), "is a text file, not audio"),
    ("x.wav", bytes(3000), r"not an audio file that can be read \(Format not recognised\); conv"),
    ("x.m4a", b"\0\0\0\x20ftypM4A " + bytes(99), r"convert it, e.g. ffmpeg -i 'x.m4a' 'x.flac'"),
    ("x.raw", bytes(3000), "raw samples have no header"),
    ("x.wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "its audio header is damaged"),
    ("x.flac", b"fLaC" + bytes(60), "its audio header is damaged"),
])
def test_what_is_not_audio(tmp_path, name, contents, message):
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError, match=f"^{tmp_path / name}: .*{message}"):
        load_audio(tmp_path / name, RATE)
    with pytest.raises(UserError, match=message):
        audio_info(tmp_path / name)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="x.wav: no such recording; check the path"):
        load_audio(tmp_path / "x.wav", RATE)
    with pytest.raises(UserError, match="is a directory, not a recording"):
        load_audio(tmp_path, RATE)


def test_wav_without_samples(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(0, np.int16), RATE)
    with pytest.raises(UserError, match=r"x.wav: has no samples"):
        load_audio(tmp_path / "x.wav", RATE)
    soundfile.write(tmp_path / "x.wav", noise(), RATE)
    patched(tmp_path / "x.wav", 0, b"", cut=44)
    with pytest.raises(UserError, match=r"x.wav: has no samples"):
        load_audio(tmp_path / "x.wav", RATE)


def test_wav_cut_short_is_used_as_far_as_it_goes(wav, caplog):
    path, samples = wav
    patched(path, 0, b"", cut=44 + 2 * 5000)
    assert np.array_equal(load_audio(path, RATE), samples[:5000])
    assert "cut short: the header promises 16000 bytes of samples, 10000 are there" in caplog.text


def test_whole_wav_is_not_called_cut_short(tmp_path, caplog):
    # A chunk of odd length before, and another after the samples.
    data = noise(100).tobytes()
    body = (b"WAVE" + b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
            + b"note" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", len(data))
            + data + b"LIST" + struct.pack("<I", 4) + b"INFO")
    (tmp_path / "x.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert np.array_equal(load_audio(tmp_path / "x.wav", RATE), noise(100))
    assert caplog.text == ""
    patched(tmp_path / "x.wav", 0, b"", cut=len(body) - 50)
    assert len(load_audio(tmp_path / "x.wav", RATE)) < 100
    assert "cut short: the header promises 200 bytes" in caplog.text


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wav_whose_length_was_not_known(wav, caplog, length):
    patched(wav[0], 40, struct.pack("<I", length))
    assert np.array_equal(load_audio(wav[0], RATE), wav[1])
    assert np.array_equal(load_audio(f"cat '{wav[0]}' |", RATE, allow_pipes=True), wav[1])
    assert caplog.text == ""


def test_damaged_flac(tmp_path):
    soundfile.write(tmp_path / "x.flac", noise(), RATE)
    patched(tmp_path / "x.flac", 6000, bytes(3000))
    with pytest.raises(UserError, match=r"x.flac: is damaged"):
        load_audio(tmp_path / "x.flac", RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(tmp_path, value):
    samples = np.zeros(1000, np.float32)
    samples[800:] = value
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    message = rf"x.wav: sample 800 \(at 0.050 s\) is {value}; write the file again"
    with pytest.raises(UserError, match=message):
        load_audio(tmp_path / "x.wav", RATE)
    with pytest.raises(UserError, match=message):
        load_audio(tmp_path / "x.wav", RATE, start=0.03)
    assert len(load_audio(tmp_path / "x.wav", RATE, end=0.05)) == 800


def test_commands_run_only_if_allowed(wav, tmp_path):
    mark = tmp_path / "ran"
    command = f"touch '{mark}'; cat '{wav[0]}' | cat |"
    assert is_pipe(command)
    assert is_pipe(command + " ")
    assert not is_pipe(wav[0])
    with pytest.raises(UserError, match="is a command, .* pass --allow-pipes if you trust"):
        load_audio(command, RATE)
    assert not mark.exists()
    assert np.array_equal(load_audio(command, RATE, allow_pipes=True, start=0.1), wav[1][1600:])
    assert mark.exists()
    assert audio_info(command, allow_pipes=True).frames == 8000


@pytest.mark.parametrize(("command", "message"), [
    ("echo first >&2; echo 'no such tape' >&2; exit 3 |",
     r"the command failed with status 3 \(no such tape\); mend it in wav.scp"),
    ("exit 1 |", r"the command failed with status 1 \(no message\)"),
    ("true |", "the command wrote nothing"),
    ("echo hello |", "the command's output is not audio"),
])
def test_commands_that_fail(command, message):
    with pytest.raises(UserError, match=message):
        load_audio(command, RATE, allow_pipes=True)


def test_clipping():
    clean = np.array([0, 32767, 0, -32768, 5, 32766], np.float32)
    assert clipped_fraction(clean) == 0
    clipped = np.array([0, 32767, 32767, 32767, 0, -32768, -32768, 32767, 1, 2], np.float32)
    assert clipped_fraction(clipped) == 0.5
    assert clipped_fraction(np.zeros(0, np.float32)) == 0


def test_reading_is_quick(tmp_path):
    tone = (5000 * np.sin(np.arange(32000) / 9)).astype(np.int16)
    soundfile.write(tmp_path / "x.flac", tone, RATE)
    seconds = []
    for _ in range(20):
        begin = time.perf_counter()
        load_audio(tmp_path / "x.flac", RATE)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.002


@pytest.mark.realdata
def test_real_recordings(data_root):
    flac = next((data_root / "dsp20/speech_data").glob("*/*.flac"))
    expected, rate = soundfile.read(flac, dtype="int16")
    assert np.array_equal(load_audio(flac, rate), expected)
    for pattern in ("audio-cmn/64k/hsk/*.mp3", "audio-cmn/64k/syllabs/*.mp3",
                    "fsdd/recordings/*.wav", "yesno/waves_yesno/*.wav"):
        path = next(data_root.glob(pattern))
        samples = load_audio(path, RATE)
        assert len(samples) == pytest.approx(audio_info(path).seconds * RATE, abs=1)
        assert 100 < np.abs(samples).max() < 40000

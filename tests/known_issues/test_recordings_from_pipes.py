"""Pipes, the standard input and devices could not be read; odd headers took gigabytes."""

import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.audio import audio_info, load_audio
from hybridasr.corpus.datadir import read_datadir
from hybridasr.errors import DamagedFile, UserError

RATE = 16000


@pytest.fixture
def wav(tmp_path):
    samples = np.random.default_rng(1).integers(-3000, 3000, RATE).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    return tmp_path / "a.wav", samples


def test_a_named_pipe_is_read_whole(wav, tmp_path):
    path, samples = wav
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(path.read_bytes(),))
    writer.start()
    assert np.array_equal(load_audio(tmp_path / "pipe", RATE), samples)
    writer.join()


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0"])
def test_the_standard_input_is_read_whole(wav, name):
    path, samples = wav
    code = ("import sys; from hybridasr.corpus.audio import load_audio; "
            "print(int(load_audio(sys.argv[1], 16000).astype('int64').sum()))")
    done = subprocess.run([sys.executable, "-c", code, name], input=path.read_bytes(),
                          capture_output=True, check=False)
    assert done.stdout.decode().split() == [str(int(samples.astype(np.int64).sum()))]


def test_an_endless_device_is_refused(monkeypatch):
    monkeypatch.setattr("hybridasr.corpus.recording.MOST_PIPED", 1 << 20)
    with pytest.raises(UserError, match="and no end"):
        load_audio("/dev/zero", RATE)


def test_an_empty_device_is_refused():
    with pytest.raises(DamagedFile, match="empty"):
        load_audio("/dev/null", RATE)


def test_a_flac_of_unknown_length_is_read_whole(tmp_path):
    samples = np.random.default_rng(1).integers(-3000, 3000, 50000).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", samples, RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0  # 36 bits: the number of samples, as it is when written to a pipe
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    for source in (tmp_path / "a.flac", io.BytesIO(data)):
        assert np.array_equal(load_audio(source, RATE), samples)
    assert audio_info(tmp_path / "a.flac").frames == 50000
    part = load_audio(tmp_path / "a.flac", RATE, start=1.0, end=2.0)
    assert np.array_equal(part, samples[RATE:2 * RATE])


@pytest.mark.parametrize("rate", [1, 7, 500, 1_000_000, 2**31 - 1])
def test_absurd_rates_are_refused(wav, rate):
    path, _ = wav
    data = path.read_bytes()
    path.write_bytes(data[:24] + rate.to_bytes(4, "little") + data[28:])
    with pytest.raises(DamagedFile, match="Hz"):
        load_audio(path, RATE)


def test_a_zero_byte_in_a_name(tmp_path):
    with pytest.raises(UserError, match="zero byte"):
        load_audio("a\0b.wav", RATE)
    for name, text in (("utt2spk", "u1 s1\n"), ("spk2utt", "s1 u1\n"), ("text", "u1 a\n"),
                       ("wav.scp", "u1 a\0b.wav\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DamagedFile, match="wav.scp:1: a byte of zero"):
        read_datadir(tmp_path)

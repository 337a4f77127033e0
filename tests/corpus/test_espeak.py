"""The espeak binding: reproducible samples, right readings, tones that differ."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from hybridasr.corpus import espeak
from hybridasr.corpus.espeak import Voice, spoken_form, synthesize
from hybridasr.errors import UserError

pytest.importorskip("espeakng_loader")
pytest.importorskip("pypinyin")


def pitch(samples, rate):
    """Median pitch (hertz) of the first and the last third of the voiced 40 ms windows."""
    size, found = int(0.04 * rate), []
    for start in range(0, len(samples) - size, size // 4):
        window = samples[start:start + size] * np.hanning(size)
        correlation = np.correlate(window, window, "full")[size - 1:]
        low, high = rate // 300, rate // 100
        lag = low + correlation[low:high].argmax()
        if correlation[lag] > 0.4 * correlation[0] > 1e6:
            found.append(rate / lag)
    third = len(found) // 3
    assert third > 2
    return np.median(found[:third]), np.median(found[-third:])


@pytest.mark.parametrize("variant", ["m3", "f2", "klatt3", "Annie", "Reed"])
def test_same_samples_whatever_came_before(variant):
    voice = Voice(variant)
    first, rate = synthesize("da3kai1kong1tiao2", "cmn", voice)
    synthesize("guan1bi4", "cmn", Voice("f4", rate=200, pitch=80))
    again, _ = synthesize("da3kai1kong1tiao2", "cmn", voice)
    assert rate == 22050
    assert 0.5 < len(first) / rate < 2
    np.testing.assert_array_equal(first, again)


def test_same_samples_in_another_process():
    code = ("from hybridasr.corpus.espeak import *; import zlib;"
            "print(zlib.crc32(synthesize('da3kai1', 'cmn', Voice('m1'))[0].tobytes()))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    samples, _ = synthesize("da3kai1", "cmn", Voice("m1"))
    assert int(done.stdout) == zlib.crc32(samples.tobytes())


@pytest.mark.parametrize(("text", "careful"), [
    ("打开空调", "da3 kai1 kong1 tiao2"),
    ("调高温度", "tiao2 gao1 wen1 du4"),
    ("调查问题", "diao4 cha2 wen4 ti2"),
    ("播放音乐", "bo1 fang4 yin1 yue4"),
    ("生日快乐", "sheng1 ri4 kuai4 le4"),
    ("da kai", "da1 kai1"),
    ("Da3 kai", "da3 kai1"),
    ("lü4 se4", "lv4 se4"),
    ("绿色", "lv4 se4"),
    ("熊猫", "[[S;'y35N]] mao1"),
    ("打开TV", "da3 kai1 TV"),
])
def test_readings(text, careful):
    assert spoken_form(text, careful=True) == ("cmn", careful)


def test_connected_speech_is_one_word():
    assert spoken_form("打开空调") == ("cmn", "da3kai1kong1tiao2")
    connected, _ = synthesize("da3kai1kong1tiao2", "cmn", Voice("f1"))
    careful, _ = synthesize("da3 kai1 kong1 tiao2", "cmn", Voice("f1"))
    assert len(connected) < len(careful)


def test_english():
    assert spoken_form("turn on the light") == ("en-us", "turn on the light")
    samples, rate = synthesize("turn on the light", "en-us", Voice("f1"))
    assert 0.5 < len(samples) / rate < 2


@pytest.mark.parametrize(("text", "message"), [
    ("включи", "neither hanzi, pinyin nor English"), ("  ", "an empty line"),
    ("呣", "espeak-ng cannot say"),
])
def test_what_cannot_be_spoken(text, message):
    with pytest.raises(UserError, match=message):
        spoken_form(text)


def test_tones_differ_in_pitch():
    voice = Voice("f1", rate=120, pitch_range=80)
    (a1, b1), (a2, b2), (a3, b3), (a4, b4) = (
        pitch(*synthesize(f"ma{tone}", "cmn", voice)) for tone in (1, 2, 3, 4))
    assert min(a1, a4) > 1.1 * max(a2, a3)  # 1 and 4 begin high, 2 and 3 low
    assert b1 > a1  # high to the end
    assert b2 > 1.15 * a2  # rising
    assert b3 < 0.92 * b2  # low to the end
    assert b4 < 0.93 * a4  # falling


def test_unknown_voice():
    with pytest.raises(UserError, match="no voice variant 'nobody'"):
        synthesize("da3", "cmn", Voice("nobody"))


@pytest.mark.parametrize("package", ["espeakng_loader", "pypinyin"])
def test_missing_package_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    espeak._loader.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'hybridasr\[synth\]'"):
        synthesize(spoken_form("打开")[1], "cmn", Voice("m1"))

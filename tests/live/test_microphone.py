"""Microphones, on a stand-in for sounddevice: what is opened, devices that go and come back."""

import sys
import threading

import pytest
from fake_sounddevice import fake_sounddevice

from hybridasr.errors import UserError
from hybridasr.live import microphone as microphone_module
from hybridasr.live.microphone import Microphone, device_lines
from hybridasr.live.ring_buffer import AudioBlock, RingBuffer

BLOCK = bytes(1600)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(microphone_module, "RETRY_SECONDS", 0.01)


def install(monkeypatch, streams=(), **settings):
    module = fake_sounddevice(streams, **settings)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def captured(microphone, stop):
    ring = RingBuffer()
    microphone.capture(ring, stop)
    items = []
    while (item := ring.take(0.0)) is not None:
        items.append(item)
    return items


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^microphones need sounddevice; run pip install "
                                        r"'hybridasr\[live\]'$"):
        device_lines()


def test_the_list_of_devices(monkeypatch):
    install(monkeypatch, devices=2)
    assert device_lines() == ["*   0  device 0  (1 channels, 16000 Hz)",
                              "    1  device 1  (1 channels, 16000 Hz)"]
    install(monkeypatch, devices=0)
    with pytest.raises(UserError, match="no device that records; connect a microphone"):
        device_lines()


def test_blocks_of_the_wanted_rate(monkeypatch):
    stop = threading.Event()
    module = install(monkeypatch, [[BLOCK, (BLOCK, True), stop.set]])
    first, second = captured(Microphone("0", 16000), stop)
    assert (first.contents, first.overflow, second.overflow) == (BLOCK, False, True)
    assert first.form.rate == 16000
    settings, = module.opened
    assert (settings["samplerate"], settings["device"], settings["channels"]) == (16000, 0, 1)


def test_the_device_s_own_rate_where_it_has_no_other(monkeypatch):
    stop = threading.Event()
    install(monkeypatch, [[BLOCK, stop.set]], rates=(44100.0,))
    block, = captured(Microphone(None, 16000), stop)
    assert block.form.rate == 44100


def test_a_device_that_is_not_there(monkeypatch):
    install(monkeypatch)
    for name in ("7", "headset"):
        with pytest.raises(UserError, match=f"microphone '{name}' cannot be used .*--list-devices"):
            Microphone(name, 16000)


def test_a_device_that_goes_is_waited_for(monkeypatch):
    """Two failures to open it again, and then another rate."""
    stop = threading.Event()
    module = install(monkeypatch, [[BLOCK], ValueError("no device"), [BLOCK, stop.set]],
                     rates=(16000, 48000))
    items = captured(Microphone(None, 16000), stop)
    rates = [item.form.rate for item in items if isinstance(item, AudioBlock)]
    assert rates == [16000, 48000]
    messages = [item.message for item in items if not isinstance(item, AudioBlock)]
    assert messages == [
        "the microphone is gone (it ended the stream); trying again every second",
        "the microphone is there again",
        "the microphone is gone (no device); trying again every second",
        "the microphone is there again"]
    assert len(module.opened) == 3


def test_a_device_that_says_nothing_counts_as_gone(monkeypatch):
    monkeypatch.setattr(microphone_module, "PATIENCE_SECONDS", 0.0)
    stop, mute = threading.Event(), threading.Event()
    install(monkeypatch, [[mute.wait], [stop.set, mute.wait]])
    notice = captured(Microphone(None, 16000), stop)[0]
    mute.set()
    assert "is gone (no audio for 0 s)" in notice.message

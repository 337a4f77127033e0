"""The page in Chromium: a file, the list, a file as microphone, the keyboard, screen readers."""

import wave

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, RATE, calibrated_recognizer, make_world, speak

pytest.importorskip("aiohttp")
server_world = pytest.importorskip("server_world")

from browser_world import (  # noqa: E402
    accessibility_faults,
    browser,
    keep_screenshot,
    page_of,
)

from hybridasr.features.pipeline import PipelineOptions  # noqa: E402
from hybridasr.vosk import Model  # noqa: E402

pytestmark = pytest.mark.slow
COMMAND, OTHER = COMMANDS[1], OUTSIDE[0]
NARROW = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where a server with three commands and a calibration listens.

    The speech that the model learned from has little silence. An utterance's own mean, taken off,
    would make a word between long silences sound unlike all of it.
    """
    world = make_world(tmp_path_factory.mktemp("steady"),
                       PipelineOptions(cmvn="none", delta_order=1))
    with server_world.servers(Model.of(calibrated_recognizer(world, COMMANDS, -4.0))) as start:
        yield start().http


def write_sound(path, *texts):
    """A recording of texts with noise behind each; a browser may take it for its microphone."""
    noise = np.random.default_rng(1).normal(0, 40, 2 * RATE).astype(np.int16)
    parts = [part for text in texts for part in (speak(text, np.random.default_rng(0)), noise)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(parts).tobytes())
    return path


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Recordings: the command and the other word; the other word alone."""
    folder = tmp_path_factory.mktemp("sounds")
    return {"both": write_sound(folder / "both.wav", COMMAND, OTHER),
            "other": write_sound(folder / "other.wav", OTHER)}


@pytest.fixture(scope="module")
def started(sounds):
    """Chromium, whose microphone is a file that is played again and again."""
    with browser("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                 f"--use-file-for-fake-audio-capture={sounds['both']}") as one:
        yield one


@pytest.fixture
def page(started, address):
    """The page in a small window, when its list is ready; nothing may go wrong in its scripts."""
    faults = []
    with page_of(started, faults, viewport=NARROW, locale="en-US") as shown:
        shown.goto(address)
        wait_for(shown, "commands-state", "Ready: 3 commands")
        yield shown
    assert faults == []


def wait_for(page, name, text):
    """Wait until an element has a text.

    By a selector: the page's policy forbids what Playwright's `wait_for_function` does, and that
    fails wherever it has to look twice.
    """
    page.wait_for_selector(f"#{name}:has-text('{text}')")


def wait_for_result(page, verdict, text):
    """Wait for an accepted or rejected result; of any text, if it is empty."""
    page.wait_for_selector(f"#results .{verdict} .text" + (f":text-is('{text}')" if text else ""))


def test_a_file_and_a_list(page, sounds):
    """A command is accepted, an outside word rejected; then the word is a command, at once."""
    page.set_input_files("#file", sounds["both"])
    wait_for(page, "status", "both.wav: done.")
    # The newest is first.
    assert page.inner_text("#results li:nth-child(2) .text") == COMMAND
    assert page.inner_text("#results li:nth-child(2) .verdict") == "accepted"
    assert page.inner_text("#results li:nth-child(2) .note").endswith("threshold 50 %")
    assert page.inner_text("#results li:nth-child(1) .verdict").startswith("rejected: ")
    assert page.get_attribute("#spectrogram", "aria-label").endswith(f"Words: {COMMAND}")
    page.fill("#commands", OTHER)
    wait_for(page, "commands-state", "Ready: 1 commands")
    page.set_input_files("#file", sounds["other"])
    wait_for_result(page, "accepted", OTHER)
    page.fill("#commands", "zzzz")
    page.wait_for_selector("#commands[aria-invalid=true]")
    assert "no pronunciation for 'zzzz'" in page.inner_text("#commands-state")


def test_the_microphone(page):
    """As with a file, which is played again and again; it begins and ends by the keyboard."""
    page.focus("#microphone")
    page.keyboard.press("Enter")
    page.wait_for_selector("#microphone[aria-pressed=true]")
    wait_for_result(page, "accepted", COMMAND)
    wait_for_result(page, "rejected", "")
    assert page.query_selector(f"#results .accepted .text:text-is('{OTHER}')") is None
    assert page.evaluate("document.getElementById('level').value") > -60
    page.fill("#commands", f"{COMMAND}\n{OTHER}")
    wait_for(page, "commands-state", "Ready: 2 commands")
    wait_for_result(page, "accepted", OTHER)
    keep_screenshot(page, "serve_microphone")
    page.focus("#microphone")
    page.keyboard.press("Enter")
    wait_for(page, "status", "The microphone is off.")
    assert page.get_attribute("#microphone", "aria-pressed") == "false"


@pytest.mark.parametrize(("locale", "title"), [("en-US", "Speech recognition"),
                                               ("zh-CN", "语音识别")])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_windows_and_screen_readers(started, address, sounds, locale, title, scheme):
    """Nothing is wider than the window; axe-core finds no fault in results and a bad list."""
    faults = []
    with page_of(started, faults, viewport=NARROW, locale=locale, color_scheme=scheme) as page:
        page.goto(address)
        page.set_input_files("#file", sounds["both"])
        page.wait_for_selector("#results .rejected")
        page.fill("#commands", "zzzz")
        page.wait_for_selector("#commands[aria-invalid=true]")
        assert page.inner_text("h1") == title
        assert page.get_attribute("html", "lang") == locale[:2]
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
        keep_screenshot(page, f"serve_{locale[:2]}_{scheme}")
        assert accessibility_faults(page) == []
    assert faults == []


def test_the_keyboard_reaches_everything(page, sounds):
    """In the order of the page, with a frame around what has the focus; then another language."""
    page.set_input_files("#file", sounds["other"])
    page.wait_for_selector("#results .rejected")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        name, outline = page.evaluate("""() => {
            const one = document.activeElement;
            return [one.id || one.className, getComputedStyle(one).outlineStyle];
        }""")
        reached.append(name)
        assert outline == "solid"
    assert reached == ["skip", "language", "microphone", "file", "commands"]
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results-title"
    page.focus("#language")
    page.keyboard.press("Space")
    assert page.inner_text("h1") == "语音识别"
    # What was said before is said anew.
    assert page.inner_text("#commands-state").startswith("已就绪：3 条命令")
    assert page.inner_text("#status") == "other.wav：完成。"
    assert page.inner_text("#results .verdict") == "拒绝: 说的是别的话"
    assert page.get_attribute("#spectrogram", "aria-label") == "最近 8 秒的语谱图。词：无"
    assert page.get_attribute("#partial", "aria-label") == "目前的词"

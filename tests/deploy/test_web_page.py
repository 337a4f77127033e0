"""The page: what is served, labels and languages by a parser; in a browser, where there is one."""

import html.parser
import re
import shutil
import tempfile
import urllib.request
import wave

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, RATE, speak

pytest.importorskip("aiohttp")
server_world = pytest.importorskip("server_world")

from hybridasr.deploy.http_service import page_files  # noqa: E402
from hybridasr.recognize.recognizer import load  # noqa: E402
from hybridasr.recognize.results import __doc__ as RESULTS  # noqa: E402
from hybridasr.vosk import Model  # noqa: E402

FILES = {name: contents.decode() for name, contents in page_files().items()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
VOID = {"meta", "link", "input", "br", "img"}


class Page(html.parser.HTMLParser):
    """Elements with their attributes; complains of tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


ELEMENTS = Page(FILES["index.html"]).elements
IDS = [attributes["id"] for _, attributes, _ in ELEMENTS if "id" in attributes]


def test_the_page_says_its_language_and_fits_small_screens():
    assert ("html", {"lang": "en"}, ()) in ELEMENTS
    viewports = [a["content"] for tag, a, _ in ELEMENTS if a.get("name") == "viewport"]
    assert viewports == ["width=device-width, initial-scale=1"]
    assert not re.findall(r"(?<!-)width:\s*(3[6-9]\d|[4-9]\d\d|\d{4,})px", FILES["page.css"])


def test_every_control_has_a_name():
    labelled = {a["for"] for tag, a, _ in ELEMENTS if tag == "label"}
    for tag, attributes, _ in ELEMENTS:
        if tag in ("input", "textarea", "meter", "select"):
            assert attributes["id"] in labelled, attributes
        if tag == "canvas":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "button":
            assert attributes["type"] == "button"
    referred = {name for _, a, _ in ELEMENTS for key in (
        "for", "aria-labelledby", "aria-describedby") for name in a.get(key, "").split()}
    assert referred <= set(IDS)
    assert len(IDS) == len(set(IDS))


def test_what_changes_is_told_to_screen_readers():
    live = {a["id"]: (a.get("role"), a["aria-live"]) for _, a, _ in ELEMENTS if "aria-live" in a}
    assert live == {"status": ("status", "polite"), "results": ("log", "polite"),
                    "commands-state": ("status", "polite"), "partial": (None, "off")}
    headings = [tag for tag, _, _ in ELEMENTS if re.fullmatch("h[1-6]", tag)]
    assert headings == ["h1", *["h2"] * 4]


def test_nothing_is_from_elsewhere_and_nothing_inline():
    for name, text in FILES.items():
        outside = [url for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text)
                   if "www.w3.org/2000/svg" not in url]
        assert outside == [], name
    for tag, attributes, _ in ELEMENTS:
        assert not {"style", "onclick", "onload"} & set(attributes)
        assert tag != "style"
        assert tag != "script" or attributes["src"] in FILES
        assert tag != "link" or attributes["href"] in FILES
    imported = re.findall(r"from \"\./(.+?)\"|addModule\(\"(.+?)\"\)", "".join(SCRIPTS.values()))
    assert {name for pair in imported for name in pair if name} | {"page.js"} == set(SCRIPTS)


def languages():
    """language -> key -> text of texts.js."""
    blocks = re.findall(r"^  (\w+): \{\n(.*?)^  \},", FILES["texts.js"], re.M | re.S)
    return {name: dict(re.findall(r"(\w+): \"(.*?)\"[,\n]", block)) for name, block in blocks}


def test_both_languages_have_every_text():
    texts = languages()
    assert set(texts) == {"en", "zh"}
    assert set(texts["en"]) == set(texts["zh"])
    for key in texts["en"]:
        assert sorted(re.findall(r"\{\d\}", texts["en"][key])) == sorted(
            re.findall(r"\{\d\}", texts["zh"][key])), key
    used = {a["data-text"] for _, a, _ in ELEMENTS if "data-text" in a}
    used |= set(re.findall(r"say\(\s*\"(\w+)\"", "".join(SCRIPTS.values())))
    reasons = re.search(r"reason +null, or why not: (.*)", RESULTS)[1].split(", ")
    assert {f"reason_{reason.replace('-', '_')}" for reason in reasons} <= set(texts["en"])
    assert used - {"reason_"} <= set(texts["en"])
    # The page begins with the English texts, before its script runs.
    shown = dict(re.findall(r"data-text=\"(\w+)\"[^>]*>([^<]+)<", FILES["index.html"]))
    assert shown == {key: texts["en"][key] for key in shown}


def test_scripts_know_the_elements_of_the_page():
    asked = set(re.findall(r"place\(\"([\w-]+)\"\)|getElementById\(\"([\w-]+)\"\)",
                           "".join(SCRIPTS.values())))
    assert {name for pair in asked for name in pair if name} <= set(IDS)


def test_every_file_is_served_under_a_strict_policy(spoken_world):
    with server_world.servers(Model.of(load(spoken_world.mono, commands=COMMANDS))) as start:
        place = start()
        for name in ["", *FILES]:
            with urllib.request.urlopen(f"{place.http}/{name}", timeout=30) as answer:
                assert answer.read().decode() == FILES[name or "index.html"]
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                kind = answer.headers["Content-Type"]
            assert name != "page.js" or kind == "text/javascript; charset=utf-8"


def write_microphone(path, *texts):
    """A recording of texts with noise behind each; a browser may take it for its microphone."""
    noise = np.random.default_rng(1).normal(0, 40, 2 * RATE).astype(np.int16)
    parts = [part for text in texts for part in (speak(text, np.random.default_rng(0)), noise)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(parts).tobytes())


@pytest.fixture
def browser(tmp_path):
    """Chromium, with a file as its microphone: a command, then an outside word."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser",
                                                    "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium")
    write_microphone(tmp_path / "microphone.wav", "bu1la1", OUTSIDE[0])
    write_microphone(tmp_path / "outside.wav", OUTSIDE[0])
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=[
            "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}"])
        yield started
        started.close()


@pytest.fixture
def page(spoken_world, browser):
    """The page in a small window, when its list is ready; nothing may go wrong in its scripts."""
    with server_world.servers(Model.of(load(spoken_world.mono, commands=COMMANDS))) as start:
        shown, faults = browser.new_page(viewport={"width": 360, "height": 740},
                                         locale="en-US"), []
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("console", lambda line: line.type == "error" and faults.append(line.text))
        shown.goto(start().http)
        wait_for(shown, "commands-state", "3 commands are ready")
        yield shown
        shown.screenshot(path=f"{tempfile.mkdtemp(prefix='hybridasr-page-')}/page.png",
                         full_page=True)
        assert faults == []


def wait_for(page, name, text):
    """Wait until the text of an element begins so."""
    page.wait_for_function("([name, text]) => document.getElementById(name).textContent"
                           ".startsWith(text)", arg=[name, text], timeout=120_000)


@pytest.mark.slow
def test_a_file_and_a_list_in_a_browser(page, tmp_path):
    """A command is accepted, an outside word rejected; then the word is a command, at once."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_input_files("#file", tmp_path / "microphone.wav")
    wait_for(page, "status", "microphone.wav: done.")
    # The newest is first.
    assert page.inner_text("#results li:nth-child(2) .text") == "bu1la1"
    assert page.inner_text("#results li:nth-child(2) .verdict") == "accepted"
    assert page.inner_text("#results li:nth-child(1) .verdict").startswith("rejected: ")
    assert page.get_attribute("#spectrogram", "aria-label").endswith("Words: bu1la1")
    page.fill("#commands", OUTSIDE[0])
    wait_for(page, "commands-state", "1 commands are ready")
    page.set_input_files("#file", tmp_path / "outside.wav")
    page.wait_for_selector(f"#results .accepted .text:text-is('{OUTSIDE[0]}')", timeout=120_000)
    page.fill("#commands", "zzzz")
    page.wait_for_selector("#commands[aria-invalid=true]", timeout=60_000)
    assert "no pronunciation for 'zzzz'" in page.inner_text("#commands-state")
    page.click("#language")
    assert page.get_attribute("html", "lang") == "zh"
    assert page.inner_text("h1") == "语音识别"
    page.fill("#commands", "")
    wait_for(page, "commands-state", "3 条命令已就绪")


@pytest.mark.slow
def test_the_microphone_in_a_browser(page):
    """With the keyboard alone: level and results come, and it ends.

    Whether a word is accepted hangs on how steadily the browser plays the file, so it is not asked.
    """
    page.focus("#microphone")
    page.keyboard.press("Enter")
    page.wait_for_selector("#microphone[aria-pressed=true]", timeout=60_000)
    page.wait_for_function("document.getElementById('level').value > -50", timeout=60_000)
    page.wait_for_selector("#results li", timeout=120_000)
    page.keyboard.press("Enter")
    wait_for(page, "status", "The microphone is off.")
    assert page.get_attribute("#microphone", "aria-pressed") == "false"

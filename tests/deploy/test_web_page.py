"""The page: what is served, labels and languages by a parser."""

import html.parser
import re
import urllib.request

import pytest
from command_world import COMMANDS

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
    assert live == {"status": ("status", "polite"), "results-log": ("log", "polite"),
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
    used = {a[name] for _, a, _ in ELEMENTS for name in ("data-text", "data-label") if name in a}
    used |= set(re.findall(r'(?:say\(|tell\(place\("[\w-]+"\), |showEnd\(line, )\s*"(\w+)"',
                           "".join(SCRIPTS.values())))
    assert len(used) > 30
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

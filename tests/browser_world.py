"""A browser for tests: Chromium without a window, what its console tells, and axe-core.

`tools/browser.sh` installs both. Where they are missing, tests are skipped; under
HYBRIDASR_REQUIRE_BROWSER=1 they fail.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
_AXE = REPOSITORY / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Without a sandbox, which root may not have, and without talk to its maker.
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync")
MILLISECONDS = 120_000  # that a test waits: the machine may have other work


@contextmanager
def browser(*flags: str) -> Iterator[Any]:
    """Yield a browser of Playwright, with more flags for Chromium; it is closed at the end."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        _missing("Chromium is not in PATH; run tools/browser.sh")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed; run pip install 'hybridasr[test]'")
    with sync_playwright() as play:
        # Its user data lie in a folder of its own, which goes with it.
        started = play.chromium.launch(executable_path=program, args=[*_FLAGS, *flags])
        yield started
        started.close()


def _missing(line: str) -> NoReturn:
    if os.environ.get("HYBRIDASR_REQUIRE_BROWSER") == "1":
        pytest.fail(line)
    pytest.skip(line)


@contextmanager
def page_of(started: Any, faults: list[str], **options: Any) -> Iterator[Any]:
    """Yield an empty page; what its console and its scripts complain of is put into `faults`."""
    context = started.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(MILLISECONDS)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: line.type in ("error", "warning")
            and faults.append(line.text))
    page.on("requestfailed", lambda request: faults.append(f"{request.url} failed"))
    yield page
    context.close()


def keep_screenshot(page: Any, name: str) -> None:
    """Write the whole page as a picture into build/screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def accessibility_faults(page: Any) -> list[str]:
    """Return what axe-core finds: rule, what it asks for, and the places, a line each."""
    if not _AXE.is_file():
        _missing("axe-core is not in build/axe; run tools/browser.sh")
    # Evaluated, because a page's policy may forbid scripts from elsewhere.
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 5  # it has looked
    return [f"{one['id']}: {one['help']}: " + ", ".join(
        str(node["target"][0]) for node in one["nodes"]) for one in found["violations"]]

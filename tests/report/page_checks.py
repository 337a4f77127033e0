"""What every page must be: closed tags, nothing from outside, alternatives for all pictures."""

from html.parser import HTMLParser

EMPTY = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Reads a page; `tags` are those that were opened, with their attributes, `texts` the rest."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def check_page(path):
    """Return the page of a file, checked."""
    content = path.read_text(encoding="utf-8")
    assert content.startswith("<!DOCTYPE html>")
    page = Page(content)
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    assert page.all("script") == page.all("link") == []
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), "a program"
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), f"{tag} from outside"
    assert all(image["alt"] for image in page.all("img"))
    assert all(sound["aria-label"] for sound in page.all("audio"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    return page

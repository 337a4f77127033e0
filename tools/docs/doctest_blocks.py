"""Examples that stand in the text of a docstring become blocks of code in the site.

An extension of griffe, which reads the docstrings: its own reader knows examples in sections named
Examples alone, and elsewhere a list of lists would be read as a link.
"""

import griffe


class DoctestBlocks(griffe.Extension):
    """Fences each example outside of a section of examples."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Take one object, when all of it is known."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return a docstring with its examples fenced, but for those of the section Examples."""
    lines, result, section, inside = text.split("\n"), [], "", False
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if line.strip() and set(below.strip()) == {"-"}:
            section = line.strip()
        if line.startswith(">>>") and not inside and section != "Examples":
            result.append("```pycon")
            inside = True
        elif inside and not line.strip():
            result.append("```")
            inside = False
        result.append(line)
    return "\n".join([*result, *["```"] * inside])

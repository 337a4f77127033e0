"""Owns Home Assistant's files of sentences: intents, lists and expansion rules in YAML.

    intents:
      TurnOn:
        data:
          - sentences: ["打开[我的]{name}", "<please>开{name}"]
            slots: {domain: light}
    lists:
      name:
        values: [空调, {in: "(大|小)灯", out: light.big}]
      level:
        range: {from: 0, to: 100, step: 10}
    expansion_rules:
      please: "[请|麻烦你]"

They become sentence templates (`grammar.template`), each in the line that has it, so that a fault
is told where the user finds it. The name of an intent is the id of its sentences. What Home
Assistant does with an intent (responses, contexts) is left to it.
"""

from pathlib import Path
from typing import Any

from hybridasr.errors import UserError, require_extra
from hybridasr.progress import logger
from hybridasr.storage import PathLike

YAML_NAMES = (".yaml", ".yml")


def is_hass_file(path: PathLike | None) -> bool:
    """Tell by its name whether a file of commands is YAML.

    >>> is_hass_file("custom_sentences/en/light.yaml"), is_hass_file("commands.txt")
    (True, False)
    """
    return path is not None and Path(path).suffix.lower() in YAML_NAMES


def hass_templates(text: str, path: PathLike | None = None) -> str:
    r"""Return the templates of a file of sentences.

    Raises
    ------
    UserError
        with the line: of what is no YAML, or not as Home Assistant writes it, or a wildcard, which
        stands for any words.

    Examples
    --------
    >>> print(hass_templates('''intents:
    ...   TurnOn: {data: [{sentences: ["open [the] {door}"]}]}
    ... lists:
    ...   door: {values: [gate]}''').strip().replace("\t", " "))
    TurnOn open [the] {door}
    <BLANKLINE>
    {door} = gate
    """
    return _Reader(path).templates(text)


class _Reader:
    """Puts each template into the line of the file that has it."""

    def __init__(self, path: PathLike | None):
        self._path = path
        self._lines: dict[int, tuple[str, str]] = {}  # from 0: whose the line is, and its text

    def templates(self, text: str) -> str:
        require_extra("yaml", "serve", "sentences in YAML")
        import yaml

        try:
            root = yaml.compose(text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = None if error.problem_mark is None else error.problem_mark.line + 1
            raise UserError(f"is no YAML: {error.problem or error}; mend the line", self._path,
                            line) from None
        except yaml.YAMLError as error:
            raise UserError(f"is no YAML: {str(error).splitlines()[0]}", self._path) from None
        if root is None:
            raise UserError("is empty; write intents: with sentences", self._path)
        parts = self._mapping(root, "the file")
        if "intents" not in parts:
            raise self._fault(root, "no intents; write intents: with sentences")
        if "skip_words" in parts:
            logger.warning("%s: skip_words are not left out of what is said; write [word] into the "
                           "sentences", self._path)
        for name, node in self._pairs(parts.get("expansion_rules"), "expansion_rules"):
            self._put(node, f"<{name}>", f"<{name}> = ", self._text(node, "a rule"))
        for name, node in self._pairs(parts.get("lists"), "lists"):
            self._list(name, node)
        for name, node in self._pairs(parts["intents"], "intents"):
            data = self._mapping(node, "an intent").get("data")
            for block in self._items(data or node, "data"):
                self._block(name, block)
        last = max(self._lines, default=-1)
        return "".join(self._lines.get(number, ("", ""))[1] + "\n" for number in range(last + 1))

    def _block(self, intent: str, node: Any) -> None:
        """Put the sentences of a block, which share the slots that are always filled."""
        block = self._mapping(node, "a block of data")
        for key in ("lists", "expansion_rules"):
            if key in block:
                raise self._fault(block[key], f"{key} of a block are not read; move them to the "
                                  "end of the file")
        slots = "".join(f"{{{name}={self._value(value)}}}"
                        for name, value in self._pairs(block.get("slots"), "slots"))
        if "sentences" not in block:
            raise self._fault(node, "no sentences; write sentences: with a list")
        for sentence in self._items(block["sentences"], "sentences"):
            self._put(sentence, intent, f"{intent}\t", self._text(sentence, "a sentence") + slots,
                      "|")

    def _list(self, name: str, node: Any) -> None:
        parts, owner = self._mapping(node, "a list"), f"{{{name}}}"
        if "range" in parts:
            ends = {key: self._text(value, key)
                    for key, value in self._pairs(parts["range"], "range")}
            if not {"from", "to"} <= {*ends}:
                raise self._fault(parts["range"], "a range needs from: and to:")
            step = f"/{ends['step']}" if "step" in ends else ""
            self._put(parts["range"], owner, f"{owner} = ", f"{ends['from']}-{ends['to']}{step}")
        elif "values" in parts:
            front = f"{owner} = "
            for value in self._items(parts["values"], "values"):
                self._put(value, owner, front, self._entry(value), ", ")
                front = ", "  # the definition goes on
        else:
            raise self._fault(node, f"list {name} has neither values nor a range (a wildcard is "
                              "any words, which no grammar can list); write values:")

    def _entry(self, node: Any) -> str:
        if not self._is_mapping(node):
            return self._text(node, "a value")
        parts = self._mapping(node, "a value")
        if "in" not in parts:
            raise self._fault(node, "a value needs in: what is said")
        said = self._text(parts["in"], "in")
        return f"{said} => {self._value(parts['out'])}" if "out" in parts else said

    def _put(self, node: Any, owner: str, front: str, text: str, joint: str = "") -> None:
        """Put a template, or a part of one, into its line; parts in one line are joined."""
        line = node.start_mark.line
        whose, before = self._lines.get(line, (owner, ""))
        if whose != owner or before and not joint:
            raise self._fault(node, "two things in one line; write each in a line of its own")
        self._lines[line] = (owner, f"{before}{joint}{text}" if before else f"{front}{text}")

    def _pairs(self, node: Any, what: str) -> list[tuple[str, Any]]:
        return [] if node is None else [*self._mapping(node, what).items()]

    def _mapping(self, node: Any, what: str) -> dict[str, Any]:
        if not self._is_mapping(node):
            raise self._fault(node, f"{what} must have names with values, as name: value")
        return {self._text(key, "a name"): value for key, value in node.value}

    def _items(self, node: Any, what: str) -> list[Any]:
        if not isinstance(node.value, list) or self._is_mapping(node):
            raise self._fault(node, f"{what} must be a list, each item behind a -")
        return node.value

    @staticmethod
    def _is_mapping(node: Any) -> bool:
        return node.tag == "tag:yaml.org,2002:map"

    def _value(self, node: Any) -> str:
        value = self._text(node, "a value")
        if any(mark in value for mark in ",|{}"):
            raise self._fault(node, f"'{value}' as the value of a slot; give one without , | {{ }}")
        return value

    def _text(self, node: Any, what: str) -> str:
        """Return a text in one line, as the templates have it."""
        if not isinstance(node.value, str) or not node.value.strip():
            raise self._fault(node, f"{what} must be a text")
        text = " ".join(node.value.split())
        if "#" in text:
            raise self._fault(node, f"{what} with #, which begins a comment; leave it out")
        return text

    def _fault(self, node: Any, message: str) -> UserError:
        return UserError(message, self._path, node.start_mark.line + 1)

"""Owns options: frozen dataclasses that become command line, help text and JSON.

A field is declared as ``beam: float = option(13.0, "pruning beam of the search")``. Supported
types: int, float, str, bool and those ``| None``. The range checks of a class are in its
``__post_init__``, which raises `UserError`.
"""

import argparse
import dataclasses
import types
import typing
from typing import Any, TypeVar

from hybridasr.errors import UserError

T = TypeVar("T")
_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def option(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    """Declare one option field: its default, one line of help, and the allowed values."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


def add_options(parser: argparse.ArgumentParser, options_class: type) -> None:
    """Add ``--field-name`` for every field of `options_class` to `parser`."""
    hints = typing.get_type_hints(options_class)
    group = parser.add_argument_group(options_class.__name__)
    for field in dataclasses.fields(options_class):
        kind = _plain_type(hints[field.name])
        text = field.metadata.get("help", "").replace("%", "%%")
        extra: dict[str, Any] = {"type": _parse_bool, "metavar": "true|false"}
        if kind is not bool:
            extra = {"type": kind, "metavar": None if field.metadata.get("choices") else "X"}
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            default=field.default,
            choices=field.metadata.get("choices"),
            help=f"{text} (default: {_show(field.default)})",
            **extra,
        )


def from_args(options_class: type[T], args: argparse.Namespace) -> T:
    """Build `options_class` from parsed arguments; fields that were not offered keep defaults."""
    names = [f.name for f in dataclasses.fields(options_class)]
    return options_class(**{n: getattr(args, n) for n in names if hasattr(args, n)})


def from_dict(options_class: type[T], values: dict[str, Any], source: str = "options") -> T:
    """Build `options_class` from a plain dict, refusing unknown names.

    Raises
    ------
    UserError
        if a name is unknown or a value has the wrong type; `source` is named in the line.
    """
    hints = typing.get_type_hints(options_class)
    for name, value in values.items():
        if name not in hints:
            import difflib

            near = difflib.get_close_matches(name, hints, 1)
            hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(hints)
            raise UserError(f"unknown option '{name}'; {hint}", source)
        kind = _plain_type(hints[name])
        if value is not None and not isinstance(value, (int, float) if kind is float else kind):
            raise UserError(f"option '{name}' is {value!r}; give {_KINDS[kind]}", source)
    return options_class(**values)


def from_strings(options_class: type[T], values: dict[str, str], source: str = "options") -> T:
    """Build `options_class` from text values, as a configuration file gives them.

    Raises
    ------
    UserError
        if a name is unknown or a value cannot be read; `source` is named in the line.
    """
    hints = typing.get_type_hints(options_class)
    parsed: dict[str, Any] = {}
    for name, text in values.items():
        kind = _plain_type(hints.get(name, str))
        try:
            parsed[name] = _parse_bool(text) if kind is bool else kind(text)
        except (ValueError, argparse.ArgumentTypeError):
            raise UserError(f"option '{name}' is '{text}'; give {_KINDS[kind]}",
                            source) from None
    return from_dict(options_class, parsed, source)


def to_dict(options: Any) -> dict[str, Any]:
    """Return the options as a plain dict, ready for JSON."""
    return dataclasses.asdict(options)


def _plain_type(hint: Any) -> type:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def _parse_bool(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")


def _show(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)

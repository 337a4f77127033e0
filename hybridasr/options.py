"""Owns options: frozen dataclasses that become command line, help text and JSON.

A field is declared as ``beam: float = option(13.0, "pruning beam of the search")``. Supported
types: int, float, str, bool and those ``| None``. The range checks of a class are in its
``__post_init__``, which raises `UserError`.

Classes compose: ``em: EmOptions = nested(EmOptions, num_iters=20)`` makes the options of another
class a part of this one, here with another default. Outside, the options stay flat: the command
line has ``--num-iters``, a configuration file ``num_iters = 20``, JSON ``"num_iters": 20``. A name
may stand once in a class and all that is nested in it.

An option that depends on another one says so: ``option(0.9, "...", needs="optimizer=sgd")``, or
``needs="freq_masks"`` for one that must not be 0, false, empty or none, ``needs="texts="`` for one
that must not be given; commas join several.
`from_args` and `from_strings` refuse an option that the user gives although it has no effect.
Where that hangs on something else (a model, another argument), a verb calls
`hybridasr.cli.verb.refuse`.
"""

import argparse
import dataclasses
import difflib
import functools
import types
import typing
from typing import Any, NamedTuple, TypeVar

from hybridasr.errors import UserError

T = TypeVar("T")
_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def option(default: Any, help: str, choices: tuple[str, ...] | None = None,
           needs: str | None = None) -> Any:
    """Declare one option field: default, a line of help, the allowed values, what it needs.

    `needs` names other options without which this one has no effect: ``"copies, kind=a|b"``.
    """
    return dataclasses.field(default=default,
                             metadata={"help": help, "choices": choices, "needs": needs})


def nested(options_class: type, **defaults: Any) -> Any:
    """Declare a field that holds the options of another class, some with other defaults."""
    return dataclasses.field(default_factory=lambda: build_options(options_class, **defaults),
                             metadata={"nested": options_class, "defaults": defaults})


def seed_option(what: str = "whatever is drawn at random") -> Any:
    """Declare the field ``seed``, whose default is the same everywhere."""
    return option(0, f"seed of {what}")


class FlatOption(NamedTuple):
    """One option as the user sees it, wherever it is nested."""

    kind: type
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...] | None
    needs: tuple[str, ...]


@functools.cache
def flat_options(options_class: type) -> dict[str, FlatOption]:
    """Return every option of a class and of what is nested in it, by name.

    Raises
    ------
    TypeError
        if two of them have one name.

    Examples
    --------
    >>> from hybridasr.decode.align import AlignOptions
    >>> flat_options(AlignOptions)["retry_beam"].default
    40.0
    """
    options: dict[str, FlatOption] = {}
    hints = typing.get_type_hints(options_class)
    for field in dataclasses.fields(options_class):
        part = {field.name: _flat(field, hints[field.name])}
        if "nested" in field.metadata:
            # The outer class may have given another default.
            changed = field.metadata["defaults"]
            part = {name: one._replace(default=changed.get(name, one.default))
                    for name, one in flat_options(field.metadata["nested"]).items()}
        for name in part:
            if name in options:
                raise TypeError(f"{options_class.__name__} has two options named '{name}'")
        options |= part
    return options


def build_options(options_class: type[T], **values: Any) -> T:
    """Build `options_class` from flat values; the others keep their defaults.

    Examples
    --------
    >>> from hybridasr.train.quick import QuickOptions
    >>> options = build_options(QuickOptions, numleaves=100)
    >>> options.tree.numleaves, options.em.num_iters
    (100, 20)
    """
    known, own = flat_options(options_class), {}
    for name in values:
        if name not in known:
            raise TypeError(f"{options_class.__name__} has no option '{name}'")
    for field in dataclasses.fields(options_class):
        if "nested" in field.metadata:
            # A name belongs to one place: `flat_options` has made sure of it.
            below = flat_options(field.metadata["nested"])
            inner = {**field.metadata["defaults"],
                     **{name: value for name, value in values.items() if name in below}}
            own[field.name] = build_options(field.metadata["nested"], **inner)
        elif field.name in values:
            own[field.name] = values[field.name]
    return options_class(**own)


def change_options(options: T, **values: Any) -> T:
    """Return the options with other values, wherever their names are nested."""
    return build_options(type(options), **{**to_dict(options), **values})


def add_options(parser: argparse.ArgumentParser, options_class: type) -> None:
    """Add ``--field-name`` for every option of `options_class` to `parser`.

    Options that the user does not give leave nothing in the parsed arguments.
    """
    group = parser.add_argument_group(options_class.__name__)
    for name, one in flat_options(options_class).items():
        extra: dict[str, Any] = {"type": parse_bool, "metavar": "true|false"}
        if one.kind is not bool:
            extra = {"type": one.kind, "metavar": None if one.choices else "X"}
        text = one.help.replace("%", "%%")
        # Nothing is stored unless the user gives it: so it is known what was given.
        group.add_argument(_flag(name), default=argparse.SUPPRESS, choices=one.choices,
                           help=f"{text} (default: {_show(one.default)})", **extra)


def given_options(options_class: type, args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a class that the user gave, by name."""
    return {name: getattr(args, name) for name in flat_options(options_class)
            if hasattr(args, name)}


def from_args(options_class: type[T], args: argparse.Namespace) -> T:
    """Build `options_class` from parsed arguments; what was not given keeps its default.

    Raises
    ------
    UserError
        if an option was given that has no effect beside the others.
    """
    values = given_options(options_class, args)
    options = build_options(options_class, **values)
    _check_needs(options, values, None)
    return options


def from_dict(options_class: type[T], values: dict[str, Any], source: str = "options") -> T:
    """Build `options_class` from a plain dict, refusing unknown names.

    Raises
    ------
    UserError
        if a name is unknown or a value has the wrong type; `source` is named in the line.
    """
    known = flat_options(options_class)
    if not isinstance(values, dict):
        raise UserError(f"options are {values!r}; give names with values", source)
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(known)
            raise UserError(f"unknown option '{name}'; {hint}", source)
        if not _fits(value, known[name]):
            raise UserError(f"option '{name}' is {value!r}; give {_KINDS[known[name].kind]}",
                            source)
    try:
        return build_options(options_class, **values)
    except UserError as error:  # a range check, which does not know where its value is from
        raise error.within(source) from None


def from_strings(options_class: type[T], values: dict[str, str], source: str = "options") -> T:
    """Build `options_class` from text values, as a configuration file gives them.

    Raises
    ------
    UserError
        if a name is unknown, a value cannot be read, or is other than the default where the
        option has no effect; `source` is named in the line.
    """
    known, parsed = flat_options(options_class), {}
    for name, text in values.items():
        kind = known[name].kind if name in known else str
        try:
            parsed[name] = parse_bool(text) if kind is bool else kind(text)
        except (ValueError, argparse.ArgumentTypeError):
            raise UserError(f"option '{name}' is '{text}'; give {_KINDS[kind]}",
                            source) from None
    options = from_dict(options_class, parsed, source)
    _check_needs(options, {name: value for name, value in parsed.items()
                           if value != known[name].default}, source)
    return options


def check_least(options: Any, least: dict[str, float]) -> None:
    """Refuse options below the least value of their name.

    Raises
    ------
    UserError
        naming the option.
    """
    for name, bound in least.items():
        if getattr(options, name) < bound:
            raise UserError(f"option {name} is {getattr(options, name)}; give {bound} or more")


def to_dict(options: Any) -> dict[str, Any]:
    """Return the options as a flat plain dict, ready for JSON.

    Examples
    --------
    >>> from hybridasr.train.deltas import DeltasOptions
    >>> to_dict(DeltasOptions())["retry_beam"]
    40.0
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values.update(to_dict(value) if "nested" in field.metadata else {field.name: value})
    return values


def _check_needs(options: Any, given: dict[str, Any], source: str | None) -> None:
    """Refuse what was given in vain; as command line options if there is no `source`."""
    values, known = to_dict(options), flat_options(type(options))
    for name in given:
        # As text: a need is declared as a user would write it.
        for need in known[name].needs:
            other, equals, wanted = need.partition("=")
            value = _show(values[other])
            if value in wanted.split("|") if equals else values[other]:
                continue
            wanted = wanted.replace("|", " or ")
            if equals and not wanted:
                first, second = ((_flag(name), _flag(other)) if source is None
                                 else (f"option '{name}'", f"option '{other}'"))
                raise UserError(f"{first} has no effect beside {second}; leave one of them out",
                                source)
            if source is None:
                there = f"with {_flag(other)} {value}" if value else f"without {_flag(other)}"
                raise UserError(f"{_flag(name)} has no effect {there}; leave it out, or give "
                                f"{_flag(other)} {wanted or 'a value'}")
            raise UserError(f"option '{name}' has no effect with {other} = {value}; leave it out, "
                            f"or give {other} = {wanted or 'another value'}", source)


def _flat(field: dataclasses.Field, hint: Any) -> FlatOption:
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    kind = next(a for a in typing.get_args(hint) if a is not type(None)) if union else hint
    needs = field.metadata.get("needs") or ""
    return FlatOption(kind, union, field.default, field.metadata.get("help", ""),
                      field.metadata.get("choices"),
                      tuple(part.strip() for part in needs.split(",") if part.strip()))


def _fits(value: Any, one: FlatOption) -> bool:
    if value is None:
        return one.optional
    if isinstance(value, bool):  # which Python counts among the whole numbers
        return one.kind is bool
    return isinstance(value, (int, float) if one.kind is float else one.kind)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def parse_bool(text: str) -> bool:
    """Read true or false, for a parser of arguments."""
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")


def _show(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)

"""Options: one declaration gives command line, help, JSON and its checks."""

import argparse
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.options import (
    add_options,
    build_options,
    flat_options,
    from_args,
    from_dict,
    from_strings,
    nested,
    option,
    seed_option,
    to_dict,
)
from hybridasr.recipe.config import SECTIONS


@dataclass(frozen=True)
class SearchOptions:
    beam: float = option(13.0, "pruning beam, 100 % of it")
    max_active: int = option(7000, "most states of a frame")
    grammar: str = option("word", "kind of grammar", choices=("word", "loop"))
    use_words: bool = option(True, "whether times are wanted")
    model: str | None = option(None, "a model")

    def __post_init__(self):
        if self.beam <= 0:
            raise UserError(f"beam is {self.beam}; give more than 0")


def parse(*arguments: str) -> SearchOptions:
    parser = argparse.ArgumentParser()
    add_options(parser, SearchOptions)
    return from_args(SearchOptions, parser.parse_args(arguments))


def test_no_arguments_give_the_defaults():
    assert parse() == SearchOptions()


@given(st.builds(SearchOptions, beam=st.floats(0.01, 1e6), max_active=st.integers(0, 10**9),
                 grammar=st.sampled_from(["word", "loop"]), use_words=st.booleans(),
                 model=st.text(st.characters(codec="utf-8"), min_size=1)))
def test_command_line_and_dict_round_trip(options):
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in to_dict(options).items()]
    assert parse(*arguments) == options
    assert from_dict(SearchOptions, to_dict(options)) == options


def test_two_words_and_equals_sign_are_the_same():
    assert parse("--max-active", "5") == parse("--max-active=5") == SearchOptions(max_active=5)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("no", False), ("0", False)])
def test_booleans_are_written_out(text, value):
    assert parse("--use-words", text).use_words is value


@pytest.mark.parametrize(("arguments", "words"), [
    (["--use-words", "maybe"], "'maybe' is neither true nor false"),
    (["--max-active", "2.5"], "invalid int value: '2.5'"),
    (["--grammar", "ngram"], "invalid choice: 'ngram'"),
    (["--baem", "3"], "unrecognized arguments: --baem"),
])
def test_wrong_usage_exits_with_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_help_names_option_meaning_and_default():
    parser = argparse.ArgumentParser()
    add_options(parser, SearchOptions)
    text = " ".join(parser.format_help().split())
    assert "--beam X pruning beam, 100 % of it (default: 13.0)" in text
    assert "--use-words true|false whether times are wanted (default: true)" in text
    assert "--grammar {word,loop}" in text
    assert "a model (default: none)" in text


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"conf: unknown option 'baem'; did you mean 'beam'\?"):
        from_dict(SearchOptions, {"baem": 3}, "conf")
    with pytest.raises(UserError, match="unknown option 'xyzzy'; known: beam, max_active"):
        from_dict(SearchOptions, {"xyzzy": 3})


@pytest.mark.parametrize("values", [{"beam": "13"}, {"max_active": 1.5}, {"use_words": "true"},
                                    {"grammar": 3}])
def test_wrong_type_names_option_and_type(values):
    with pytest.raises(UserError, match=f"option '{next(iter(values))}' is .*; give "):
        from_dict(SearchOptions, values)


def test_whole_number_is_good_for_a_float():
    assert from_dict(SearchOptions, {"beam": 10}).beam == 10


def test_text_of_a_configuration_file_is_read_by_type():
    values = {"beam": "10", "max_active": "200", "use_words": "no", "model": "exp/mono"}
    assert from_strings(SearchOptions, values) == SearchOptions(10.0, 200, "word", False,
                                                                "exp/mono")


@pytest.mark.parametrize(("values", "reason"), [
    ({"beam": "wide"}, "recipe.conf: option 'beam' is 'wide'; give a number"),
    ({"use_words": "maybe"}, "option 'use_words' is 'maybe'; give true or false"),
    ({"max-active": "3"}, "unknown option 'max-active'; did you mean 'max_active'"),
])
def test_bad_text_of_a_configuration_file_is_named(values, reason):
    with pytest.raises(UserError, match=reason):
        from_strings(SearchOptions, values, "recipe.conf")


def test_range_check_of_the_class_applies_everywhere():
    with pytest.raises(UserError, match="beam is -1.0; give more than 0"):
        parse("--beam=-1")
    with pytest.raises(UserError, match="beam is -1; give more than 0"):
        from_dict(SearchOptions, {"beam": -1})


@dataclass(frozen=True)
class ScaleOptions:
    scale: float = option(0.1, "factor")
    power: float = option(2.0, "exponent of it", needs="scale")


@dataclass(frozen=True)
class AlignmentOptions:
    retry: float = option(40.0, "second beam")
    scales: ScaleOptions = nested(ScaleOptions, scale=0.5)


@dataclass(frozen=True)
class TrainingOptions:
    kind: str = option("adam", "steps", ("adam", "sgd"))
    momentum: float = option(0.9, "of the steps", needs="kind=sgd")
    align: AlignmentOptions = nested(AlignmentOptions, retry=20.0)
    seed: int = seed_option("the first weights")


def parse_training(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, TrainingOptions)
    return from_args(TrainingOptions, parser.parse_args(arguments))


def test_nested_options_are_flat_outside():
    options = parse_training("--scale", "0.25", "--seed=3")
    assert options.align == AlignmentOptions(20.0, ScaleOptions(0.25))
    assert to_dict(options) == {"kind": "adam", "momentum": 0.9, "retry": 20.0, "scale": 0.25,
                                "power": 2.0, "seed": 3}
    assert from_dict(TrainingOptions, to_dict(options)) == options
    assert from_strings(TrainingOptions, {"scale": "0.25", "seed": "3"}) == options
    assert build_options(TrainingOptions, scale=0.25, seed=3) == options
    with pytest.raises(UserError, match="unknown option 'scal'; did you mean 'scale'"):
        from_strings(TrainingOptions, {"scal": "1"})
    with pytest.raises(TypeError, match="no option 'beam'"):
        build_options(TrainingOptions, beam=1)


def test_help_tells_the_default_that_the_outer_class_gives():
    parser = argparse.ArgumentParser()
    add_options(parser, TrainingOptions)
    text = " ".join(parser.format_help().split())
    assert "--retry X second beam (default: 20.0)" in text
    assert "--scale X factor (default: 0.5)" in text
    assert "--seed X seed of the first weights (default: 0)" in text


def test_one_name_stands_once_in_a_class():
    @dataclass(frozen=True)
    class Twice:
        scale: float = option(1.0, "of its own")
        scales: ScaleOptions = nested(ScaleOptions)

    with pytest.raises(TypeError, match="Twice has two options named 'scale'"):
        flat_options(Twice)


@pytest.mark.parametrize("values", [{"seed": None}, {"seed": True}, {"kind": ["sgd"]}])
def test_wrong_types_in_nested_options(values):
    with pytest.raises(UserError, match="option .* is .*; give "):
        from_dict(TrainingOptions, values)


@pytest.mark.parametrize(("arguments", "line"), [
    (["--momentum", "0.9"], "--momentum has no effect with --kind adam; leave it out, or give "
                            "--kind sgd"),
    (["--scale", "0", "--power", "3"], "--power has no effect with --scale 0.0; leave it out, or "
                                       "give --scale a value"),
])
def test_an_option_without_effect_is_refused(arguments, line):
    with pytest.raises(UserError, match=line):
        parse_training(*arguments)


def test_a_configuration_may_repeat_the_default_of_an_option_without_effect():
    assert from_strings(TrainingOptions, {"momentum": "0.9"}) == TrainingOptions()
    assert parse_training("--kind", "sgd", "--momentum", "0.5").momentum == 0.5
    with pytest.raises(UserError, match=r"conf \[dnn\]: option 'momentum' has no effect with "
                                        "kind = adam; leave it out, or give kind = sgd"):
        from_strings(TrainingOptions, {"momentum": "0.8"}, "conf [dnn]")


def test_an_option_may_need_that_another_is_not_given():
    @dataclass(frozen=True)
    class Texts:
        file: str = option("", "texts")
        most: int = option(50, "of the transcripts", needs="file=")

    assert from_strings(Texts, {"most": "3"}).most == 3
    with pytest.raises(UserError, match="option 'most' has no effect beside option 'file'; leave "
                                        "one of them out"):
        from_strings(Texts, {"file": "a", "most": "3"}, "conf")
    parser = argparse.ArgumentParser()
    add_options(parser, Texts)
    with pytest.raises(UserError, match="--most has no effect beside --file; leave one"):
        from_args(Texts, parser.parse_args(["--file=a", "--most=3"]))


@pytest.mark.parametrize("options_class", [options for options in SECTIONS.values()
                                           if options is not None])
def test_every_section_of_a_recipe_has_flat_names_and_known_needs(options_class):
    known = flat_options(options_class)
    assert known
    for one in known.values():
        for need in one.needs:
            assert need.partition("=")[0] in known
    assert from_dict(options_class, to_dict(options_class())) == options_class()

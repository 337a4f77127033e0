"""Options: one declaration gives command line, help, JSON and its checks."""

import argparse
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.options import add_options, from_args, from_dict, from_strings, option, to_dict


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

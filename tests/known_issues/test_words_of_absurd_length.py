"""A word of 70,000 letters in a lexicon or a command list took more than ten seconds."""

import pytest

from hybridasr.corpus.command_list import read_commands
from hybridasr.errors import UserError
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.lexicon.lexicon import build_lexicon, read_own_lexicon
from hybridasr.options import from_dict

LONG = "a" * 70_000


def test_long_words_are_refused_by_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(f"open\n{LONG}\n")
    with pytest.raises(UserError, match=r"words.txt:2: 'a{20}...' has 70000 characters"):
        read_commands(path)
    path.write_text(f"open OW P AH N\nclose K {LONG}\n")
    with pytest.raises(UserError, match=r"words.txt:2: 'a{20}...' has 70000 characters"):
        read_own_lexicon(path)
    with pytest.raises(UserError, match=r"text:7: 'a{20}...' has 70000 characters"):
        build_lexicon([LONG], places={LONG: ("text", 7)})


@pytest.mark.parametrize("name", ["delta_order", "delta_window", "splice_left", "splice_right"])
def test_windows_of_absurd_width_are_refused(name):
    with pytest.raises(UserError, match=f"option {name} is 2147483646; give at most 100"):
        PipelineOptions(**{name: 2**31 - 2})
    with pytest.raises(UserError, match=f"^model.json: option {name} is 2147483646"):
        from_dict(PipelineOptions, {name: 2**31 - 2}, "model.json")

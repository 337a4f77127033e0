"""A damaged recipe.conf: one line that names the file, the line and the mend."""

import re

import pytest

from hybridasr.errors import UserError
from hybridasr.recipe.config import read_recipe

GOOD = ("[recipe]\ntitle = t\nreader = yesno\ntest = test\ngrammar = loop\nphrases = lexicon\n"
        "systems = mono tri1\n")


@pytest.mark.parametrize(("text", "line"), [
    (GOOD + "[mono]\n[mono]\n", r":9: section \[mono\] comes twice"),
    (GOOD + "[mono]\ntotgauss = 3\ntotgauss = 4\n", r":10: \[mono\] totgauss comes twice"),
    (GOOD + "test = other\n", r":8: \[recipe\] test comes twice"),
    ("title = t\n" + GOOD, ":1: a value before the first section"),
    (GOOD + "[mono]\ntotgauss\n", ":9: .* is no 'name = value'"),
    (GOOD.replace("= t\n", "= t\0\n"), ":2: a control character"),
    (GOOD + "homophones = maybe\n", r"\[recipe\] homophones is 'maybe'; choose one of true, false"),
    (GOOD + "homophone = true\n", "has no 'homophone'; did you mean 'homophones'"),
    (GOOD.replace("loop", "chain"), r"\[recipe\] grammar is 'chain'; choose one of commands, loop"),
    (GOOD.replace("yesno", "timit"), r"\[recipe\] reader is 'timit'; choose one of auto, "),
    (GOOD.replace("test = test", "test ="), r"\[recipe\] lacks 'test'"),
    ("", r"\[recipe\] lacks 'title'"),
    ("[DEFAULT]\nbeam = 3\n" + GOOD, r"unknown section \[DEFAULT\]"),
    (GOOD + "[mono]\ntotgauss = %(x)s\n", r"'totgauss' is '%\(x\)s'; give a whole number"),
    (b"\x80\x04\x95pickle", ":1: byte 0x80 is not UTF-8"),
])
def test_line(tmp_path, text, line):
    path = tmp_path / "mine" / "recipe.conf"
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        read_recipe(path.parent)
    assert str(error.value).startswith(str(path))
    assert re.search(line, str(error.value)), error.value
    assert "\n" not in str(error.value)


def test_override_of_a_system_that_is_not_trained(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.conf").write_text(GOOD)
    assert read_recipe(tmp_path / "mine", {"tri1": {"totgauss": "9"}}).options["tri1"]
    for section in ("tri3b", "dnn", "augment"):
        with pytest.raises(UserError, match=rf"\[{section}\] has no effect: the recipe trains "
                                            "mono tri1"):
            read_recipe(tmp_path / "mine", {section: {}})


def test_recipe_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nowhere: no recipe there"):
        read_recipe(tmp_path / "nowhere" / "yesno")

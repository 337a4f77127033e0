"""Commands in messages were not quoted: a path with a space could not be copied into a shell."""

import re
import shlex
from pathlib import Path

import pytest

from hybridasr.cli.recipes import _recognize
from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.corpus.validate import check_datadir
from hybridasr.errors import UserError, shell_command
from hybridasr.features.feature_kind import read_feature_options

REPOSITORY = Path(__file__).resolve().parents[2]
ODD = ("my data", "工作 dir", "it's", "a;rm -rf b", "$HOME")


@pytest.mark.parametrize("name", ODD)
def test_last_line_of_a_recipe(name):
    path = Path("work") / name / "exp" / "tri1"
    assert shlex.split(_recognize(path))[-2:] == ["recognize", str(path)]


@pytest.mark.parametrize("name", ODD)
def test_remedies(tmp_path, name):
    with pytest.raises(UserError) as error:
        read_feature_options(tmp_path / name)
    inside = re.search(r"run [`'](hybridasr .*)[`'] first", str(error.value))[1]
    assert shlex.split(inside) == ["hybridasr", "make-feats", str(tmp_path / name)]
    data = write_datadir(tmp_path / name, [Utterance("a", "a", ("x",), "a", "/nowhere.wav")])
    (data.path / "utt2spk").unlink()
    with pytest.raises(UserError) as error:
        check_datadir(data.path)
    assert shell_command("hybridasr", "validate-data", data.path) in str(error.value)


def test_no_message_prints_a_path_in_a_command_unquoted():
    pattern = re.compile(r"'hybridasr [a-z-]+ [^']*\{|\"hybridasr [a-z-]+ [^\"]*\{")
    faults = [f"{path.name}:{number}" for path in sorted((REPOSITORY / "hybridasr").rglob("*.py"))
              for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
              if pattern.search(line) and "job_log" not in line]
    assert faults == []

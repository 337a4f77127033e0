"""Stages: what is done is skipped, what changed is named and run again."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from hybridasr.errors import UserError
from hybridasr.options import option
from hybridasr.recipe.stage import Stage, run_stage
from hybridasr.storage import read_json


@dataclass(frozen=True)
class SearchOptions:
    beam: float = option(13.0, "beam")
    max_active: int = option(7000, "states")


class Recipe:
    """A one-stage recipe in a work directory; counts its runs and keeps its lines."""

    def __init__(self, workdir: Path):
        self.workdir = workdir
        self.text = workdir / "data" / "train" / "text"
        self.model = workdir / "exp" / "mono" / "final.mdl"
        self.text.parent.mkdir(parents=True)
        self.text.write_text("u1 a b\n")
        self.lines: list[str] = []

    def work(self) -> str:
        self.model.parent.mkdir(parents=True, exist_ok=True)
        self.model.write_text("model")
        return "exp/mono: 1 gaussian"

    def run(self, *more, function=None, inputs=None) -> bool:
        self.lines.clear()
        inputs = [self.text, *more] if inputs is None else inputs
        return run_stage(self.workdir, "mono", inputs, [self.model], function or self.work,
                         self.lines.append)


@pytest.fixture
def recipe(tmp_path):
    return Recipe(tmp_path / "work")


def test_second_run_is_skipped(recipe):
    assert recipe.run(SearchOptions())
    assert recipe.lines[0] == "mono"
    assert recipe.lines[-1].startswith("exp/mono: 1 gaussian (")
    assert not recipe.run(SearchOptions())
    assert recipe.lines == ["mono skipped: done"]


def test_record_has_seconds_and_closing_line(recipe):
    recipe.run()
    record = read_json(recipe.workdir / ".stages" / "mono.json")
    assert record["line"] == "exp/mono: 1 gaussian"
    assert 0 <= record["seconds"] < 60


def test_changed_option_is_named(recipe):
    recipe.run(SearchOptions())
    assert recipe.run(SearchOptions(beam=10.0))
    assert recipe.lines[0] == "mono: options changed: beam 13.0 -> 10.0"


def test_changed_file_is_named_and_touching_it_is_no_change(recipe):
    recipe.run()
    recipe.text.touch()
    assert not recipe.run()
    recipe.text.write_text("u1 a c\n")
    assert recipe.run()
    assert recipe.lines[0] == "mono: data/train/text changed"


def test_several_changes_are_all_named(recipe):
    recipe.run({"nj": 1, "seed": 0}, "word")
    recipe.text.write_text("u2 a\n")
    assert recipe.run({"nj": 1, "seed": 5}, "loop")
    assert recipe.lines[0] == ("mono: data/train/text changed; options changed: seed 0 -> 5, "
                               "value 3 word -> loop")


def test_added_and_dropped_inputs_are_named(recipe, tmp_path):
    recipe.run()
    other = tmp_path / "lexicon.txt"
    other.write_text("x")
    assert recipe.run(inputs=[other])
    assert f"{other} changed" in recipe.lines[0]
    assert "data/train/text no longer an input" in recipe.lines[0]


def test_missing_output_runs_again(recipe):
    recipe.run()
    recipe.model.unlink()
    assert Stage("mono", [recipe.text], [recipe.model]).status(recipe.workdir) == (
        "missing", "exp/mono/final.mdl is not there")
    assert recipe.run()


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("disk full")])
def test_interrupted_stage_leaves_no_record(recipe, error):
    def stop():
        recipe.work()
        raise error

    recipe.run()
    recipe.text.write_text("u1 changed\n")
    with pytest.raises(BaseException, match="disk full|^$"):
        recipe.run(function=stop)
    assert not (recipe.workdir / ".stages" / "mono.json").exists()
    # Even with the old input back: what the broken run left may not be taken for done.
    recipe.text.write_text("u1 a b\n")
    assert recipe.run()


def test_directory_input_sees_names_and_contents_but_not_logs(recipe):
    folder = recipe.text.parent
    recipe.run(inputs=[folder])
    (folder / "log").mkdir()
    (folder / "log" / "mfcc.1.log").write_text("...")
    (folder / ".text.tmp").write_text("...")
    assert not recipe.run(inputs=[folder])
    (folder / "text").rename(folder / "text2")
    assert recipe.run(inputs=[folder])
    (folder / "text2").write_text("u1 a B\n")
    assert recipe.run(inputs=[folder])


def test_work_directory_can_be_moved(recipe, tmp_path):
    recipe.run(SearchOptions())
    recipe.workdir.rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    stage = Stage("mono", [moved / "data/train/text", SearchOptions()],
                  [moved / "exp/mono/final.mdl"])
    assert stage.status(moved) == ("done", "")


def test_values_that_json_changes_compare_equal(recipe):
    values = {"splice": (3, 3), "path": Path("a/b")}
    recipe.run(values)
    assert not recipe.run(values)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1, "files": [], "options": {}}'])
def test_damaged_record_is_stale_not_fatal(recipe, text):
    recipe.run()
    (recipe.workdir / ".stages" / "mono.json").write_text(text)
    assert recipe.run()
    assert recipe.lines[0] == "mono: its record is damaged"


def test_missing_input_names_file_and_stage(recipe):
    recipe.text.unlink()
    with pytest.raises(UserError, match=r"data/train/text: no such file.*stage mono needs it"):
        recipe.run()

"""Options without effect passed in silence, and missing packages were told after the work."""

import importlib.util
import json

import pytest
from command_world import COMMANDS

from hybridasr.cli import main
from hybridasr.errors import NotEnoughData, ResourceError, UserError
from hybridasr.recipe import command_stages as stages


@pytest.fixture
def without(monkeypatch):
    """Pretend that a package is not installed."""
    find = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(importlib.util, "find_spec",
                            lambda name, *rest: None if name in names else find(name, *rest))

    return hide


def error_of(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main(list(map(str, words))))
    assert stop.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(("option", "name"), [(["--homophones"], "--homophones"),
                                              (["--graph", "x"], "--graph")])
def test_evaluate_commands_refuses_by_name(spoken_world, tmp_path, capsys, option, name):
    (tmp_path / "commands.txt").write_text("\n".join(COMMANDS))
    line = error_of(capsys, "evaluate", "--commands", tmp_path / "commands.txt", *option,
                    spoken_world.mono, spoken_world.test.path)
    assert f"error: {name} has no effect with --commands" in line


def test_extras_are_asked_for_first(spoken_world, tmp_path, capsys, without):
    without("matplotlib", "rapidfuzz")
    data = spoken_world.test.path
    assert "pictures need matplotlib; run pip install 'hybridasr[plots]'" in error_of(
        capsys, "calibrate", "--plots", tmp_path / "plots", spoken_world.mono, data)
    assert not (spoken_world.mono / "confidence.json").exists()
    # There is no graph: the package is asked for before anything is read.
    for verb in ("evaluate", "tune-scale"):
        assert "error rates need rapidfuzz; run pip install 'hybridasr[score]'" in error_of(
            capsys, verb, spoken_world.mono, data)


@pytest.mark.parametrize(("error", "passes"), [
    (NotEnoughData("no outside utterances"), True),
    (ResourceError("no space left on the disk"), False), (UserError("something else"), False)])
def test_only_too_little_data_leaves_a_network_uncalibrated(tmp_path, monkeypatch, error, passes):
    def calibrate(*_, **__):
        raise error

    monkeypatch.setattr(stages, "calibrate", calibrate)
    ran = run_command_stages(tmp_path, monkeypatch, passes, error)
    assert ran == (["calibrate", "commands"] if passes else ["calibrate"])


def run_command_stages(work, monkeypatch, passes, error):
    """Run the stages on nothing: what is read is replaced, what runs is listed."""
    names = []

    def stage(name, inputs, outputs, function, log, options):
        names.append(name)
        if name == "calibrate":
            function()
        return True

    monkeypatch.setattr(stages, "read_datadir", lambda path: None)
    monkeypatch.setattr(stages, "held_out", lambda model, data: None)
    (work / "commands.txt").write_text("yes\nno\n")
    recipe = stages_recipe(work)
    if passes:
        stages.command_stages(recipe, work / "commands.txt", work, None, stage, None)
    else:
        with pytest.raises(type(error)):
            stages.command_stages(recipe, work / "commands.txt", work, None, stage, None)
    return names


def stages_recipe(work):
    from types import SimpleNamespace

    from hybridasr.batch.spot_set import SpotOptions
    from hybridasr.confidence.calibrator import CalibrationOptions
    from hybridasr.graph.self_loops import GraphOptions

    options = SpotOptions()
    return SimpleNamespace(test=("test",), outside=(), commands="x", directory=work, options={
        "search": options.search, "adapt": options.adapt, "reject": options.reject,
        "graph": GraphOptions(), "calibrate": CalibrationOptions()})


def test_json_of_evaluate_is_still_a_list(spoken_world, tmp_path, capsys):
    (tmp_path / "commands.txt").write_text("\n".join(COMMANDS))
    assert main(["evaluate", "--commands", str(tmp_path / "commands.txt"), str(spoken_world.mono),
                 str(spoken_world.test.path)]) in (0, None)
    assert len(json.loads(capsys.readouterr().out)) == 1

"""Owns the last stage of a recipe: the network calibrated, commands accepted, all else rejected."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridasr.batch.spot_set import CommandList, SpotOptions
from hybridasr.corpus.datadir import DataDir, read_datadir
from hybridasr.corpus.subsets import combine
from hybridasr.errors import NotEnoughData
from hybridasr.evaluation.calibrate import DrawOptions, calibrate, draw_lists
from hybridasr.evaluation.spotting import evaluate_commands
from hybridasr.evaluation.tune import held_out
from hybridasr.features.feature_set import without_features
from hybridasr.features.frames import FeatureOptions
from hybridasr.grammar.command_file import read_command_file
from hybridasr.lexicon.langdir import read_lang
from hybridasr.model.directory import ARRAY_FILES, OF_THIS_MODEL
from hybridasr.recipe.config import CONDITIONS, DNN, DRAWN, JUDGES, SUFFIXES, Recipe
from hybridasr.score.result_table import add_result

logger = logging.getLogger("hybridasr")
Stage = Callable[[str, list, list[Path], Callable[[], str], Path, Any], bool]


def command_stages(recipe: Recipe, user_list: Path | None, work: Path, pool: Executor,
                   stage: Stage, features: Callable[[str, Path, FeatureOptions], None],
                   background: Path | None = None) -> None:
    """Calibrate the network, then accept and reject in the test sets.

    Parameters
    ----------
    user_list : path, optional
        The user's command list, in place of the recipe's.
    stage : callable
        Runs (name, inputs, outputs, function, log, options) unless it is done; tells if it ran.
    features : callable
        Makes the features of (set, directory) with the options given.
    background : path, optional
        A set of other speech, which judges the calibration too.
    """
    model, network = work / "exp" / DNN, work / "data" / "network"
    commands = _commands(recipe, user_list)
    test_set = read_datadir(network / recipe.test[0])
    try:
        test_commands = commands or draw_lists(test_set, DrawOptions(draws=1),
                                               read_lang(model / "lang"))[0]
    except NotEnoughData as error:
        logger.warning("no commands to accept and reject: %s", error)
        return
    outside = _outside_sets(recipe, work, features)
    # As in use: nobody was heard before, and the network is not fitted to whom it hears.
    options = SpotOptions(recipe.options["search"], recipe.options["adapt"].for_one_utterance(),
                          recipe.options["reject"], known="none")
    fit = recipe.options["calibrate"]

    def fit_calibration() -> str:
        pieces = tuple(read_datadir(background).utterances.values()) if background else ()
        judges = _judges(model, network)
        report = calibrate(model, judges, pool, commands, None, fit, options, pieces)[1]
        return f"{model}: of speech held out {_calibration_line(report.figures)}"

    inputs = [model / ARRAY_FILES["nnet"], model / "model.json", options.search, options.adapt,
              options.reject, recipe.options["graph"]]
    warn = commands is not None  # of commands that sound alike; those drawn are no fault
    try:
        if stage("calibrate", [*inputs, fit, _list_values(test_commands),
                               *([background / "wav.scp"] if background else [])],
                 [model / name for name in OF_THIS_MODEL], fit_calibration,
                 model / "log" / "calibrate.log", fit):
            warn = False
    except NotEnoughData as error:
        # Of nothing but commands. An earlier list says nothing of them.
        for name in OF_THIS_MODEL:
            (model / name).unlink(missing_ok=True)
        logger.warning("%s is not calibrated, so commands have no probability: %s", model, error)
    # Missing if the network is not calibrated, which is in order.
    inputs += [model / name for name in OF_THIS_MODEL if (model / name).is_file()]

    def test(name: str, sets: list[str], command_list: CommandList, grammar: str,
             warn: bool) -> None:
        def write() -> str:
            rows = _decision_rows(model, [read_datadir(network / part) for part in sets],
                                  command_list, f"{name}_test", pool, options, warn)
            for row in rows:
                add_result(work / "results.json", {**row, "grammar": grammar})
            return "; ".join(map(_decision_line, rows))

        files = [network / part / file for part in sets
                 for file in ("text", "feats.ark", "cmvn.ark")]
        stage(name, [*inputs, _list_values(command_list), *files],
              [model / f"{name}_test" / "detection.json", work / "results.json"], write,
              model / "log" / f"{name}.log", options.reject)

    test("commands", [*recipe.test, *outside], test_commands, "commands and filler", warn)
    if outside:
        # What is outside of the list was never trained: some of it as commands, the rest outside.
        try:
            new = draw_lists(read_datadir(network / outside[0]), DrawOptions(draws=1),
                             read_lang(model / "lang"))[0]
        except NotEnoughData as error:
            logger.warning("no commands that were never trained: %s", error)
            return
        test("new_commands", outside, new, "new commands and filler", False)


def _outside_sets(recipe: Recipe, work: Path,
                  features: Callable[[str, Path, FeatureOptions], None]) -> list[str]:
    """Return the sets of outside words that there are, with features for the network."""
    # A user's corpus may lack them.
    sets = [name for name in recipe.outside if (work / "data" / name / "text").is_file()]
    for name in sets:
        data = combine([without_features(read_datadir(work / "data" / name))],
                       work / "data" / "network" / name)
        features(f"{name} for the network", data.path, recipe.options["dnn_features"])
    return sets


def _judges(model: Path, network: Path) -> DataDir:
    """Return the speech held out, with silence around it too if the recipe wrote that."""
    if (network / JUDGES).is_dir():
        return read_datadir(network / JUDGES)
    return held_out(model, read_datadir(network / "train"))


def _decision_rows(model: Path, sets: list[DataDir], commands: CommandList, folder: str,
                   pool: Executor, options: SpotOptions, warn: bool) -> list[dict[str, Any]]:
    """Accept and reject in all `CONDITIONS`; return a row of results.json for each."""
    return [evaluate_commands(model, sets, commands, model / f"{folder}{SUFFIXES[known]}", pool,
                              replace(options, known=known), warn and number == 0)
            for number, known in enumerate(CONDITIONS)]


def _calibration_line(figures: Mapping[str, Any]) -> str:
    line = (f"{figures['accepted_right']} % of commands accepted and right, "
            f"{figures['false_accept']} % of outside words accepted, threshold "
            f"{figures['threshold']:.3f}")
    if "background_hours" in figures:
        line += (f"; {figures['background_accepts_per_hour']:g} commands accepted an hour in "
                 f"{figures['background_hours']:.2f} h of background")
    return line


def _decision_line(row: Mapping[str, Any]) -> str:
    return (f"{CONDITIONS[row['known']]}: {row['accepted_right']} % of commands accepted and "
            f"right, {row['false_accept']} % of outside words accepted")


def _commands(recipe: Recipe, user_list: Path | None) -> CommandList | None:
    """Return the list of commands to accept; None if lists are to be drawn from transcripts."""
    if user_list is None and recipe.commands == DRAWN:
        return None
    path = user_list or recipe.directory / str(recipe.commands)
    return CommandList(tuple(read_command_file(path)))


def _list_values(commands: CommandList) -> dict[str, list]:
    return {"commands": [
        [c.id, c.text, c.threshold, *map(list, c.slots)] for c in commands.commands]}

"""Owns the page of a recipe's run: stages, systems, trainings, errors to listen to, changes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridasr.batch.decode_dir import read_hypotheses
from hybridasr.corpus.audio import load_utterance
from hybridasr.corpus.datadir import DataDir, read_datadir
from hybridasr.errors import UserError
from hybridasr.evaluation.spotting import read_trials
from hybridasr.plots import (
    draw_det,
    draw_error_rates,
    draw_reliability,
    draw_systems,
    draw_training,
)
from hybridasr.plots.score_plots import measured_rows, row_name
from hybridasr.recipe.config import SUFFIXES
from hybridasr.report.page import (
    details,
    paragraph,
    picture,
    player,
    reading,
    section,
    table,
    write_page,
)
from hybridasr.score.detection import Trials
from hybridasr.score.result_table import (
    DECISION_COLUMNS,
    KNOWN,
    column_title,
    read_results,
)
from hybridasr.score.wer import References, Scores
from hybridasr.storage import PathLike, read_json
from hybridasr.train.history import read_history

MOST_UTTERANCES = 20  # with errors, that are listed of a test set
LARGEST_SOUNDS = 2_000_000  # characters of the page that are sound
SOUND_RATE = 16000  # of what can be listened to
LONGEST_SOUND = 20.0  # seconds
_RESULT_COLUMNS = ("wer", "wer_low", "wer_high", "cer", "ser", "words", "utterances", "rtf",
                   "train_seconds")


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """A decode directory of a run, scored."""

    name: str
    data: DataDir
    scores: Scores


class _Sounds:
    """Players of utterances, as long as there is room for them in a page."""

    def __init__(self):
        self._left = LARGEST_SOUNDS

    def player(self, data: DataDir, name: str) -> str:
        """Return the player of an utterance; why there is none, where there is none."""
        utterance = data.utterances[name]
        try:
            samples = load_utterance(utterance, SOUND_RATE)
        except (UserError, OSError):
            return "recording not found"
        if len(samples) > LONGEST_SOUND * SOUND_RATE:
            return "too long"
        sound = player(samples, SOUND_RATE, f"utterance {name}")
        if len(sound) > self._left:
            return "no room"
        self._left -= len(sound)
        return sound


def report(work: Path, page: PathLike, against: Path | None = None) -> None:
    """Write the page of a run.

    Parameters
    ----------
    work : Path
        Work directory of a recipe.
    against : Path, optional
        That of another run.

    Raises
    ------
    UserError
        if one of them is no work directory, or a file of it is damaged.
    """
    records, rows = stage_records(work), read_results(work / "results.json")
    others = read_results(against / "results.json") if against else []
    sounds = _Sounds()
    parts = [_systems_part(rows, others), _decisions_part(work, rows)]
    if against:
        parts.append(_changes_part(work, against, rows, others, records))
    parts += [_errors_part(work, sounds), _trainings_part(work), _stages_part(records)]
    name = work.resolve().name
    write_page(page, f"Run of {name}" + (f" against {against.resolve().name}" if against else ""),
               [part for part in parts if part])


def stage_records(work: Path) -> dict[str, dict[str, Any]]:
    """Return the record of each finished stage, by its name, in the order in which they ran.

    Raises
    ------
    UserError
        if the directory has none.
    """
    paths = sorted((work / ".stages").glob("*.json"), key=lambda path: path.stat().st_mtime)
    records = {path.stem: read_json(path) for path in paths}
    kept = {name: record for name, record in records.items()
            if isinstance(record, dict) and isinstance(record.get("options"), dict)}
    if not kept:
        raise UserError("is no work directory of a recipe: no stage was finished there; give one "
                        "that egs/run.sh has made", work)
    return kept


def changed_options(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
                    ) -> list[tuple[str, str, Any, Any]]:
    """Return (stage, option, value before, value after) of all options that differ.

    >>> changed_options({"mono": {"options": {"MonoOptions.seed": 0}}},
    ...                 {"mono": {"options": {"MonoOptions.seed": 1}}})
    [('mono', 'seed', 0, 1)]
    """
    changes = []
    for stage in (stage for stage in after if stage in before):
        old, new = before[stage]["options"], after[stage]["options"]
        changes += [(stage, name.split(".")[-1], old.get(name), new.get(name))
                    for name in {**old, **new} if old.get(name) != new.get(name)]
    return changes


def scored_sets(work: Path) -> Iterator[ScoredSet]:
    """Yield the decode directories of a run, scored anew, in the order of the systems."""
    for data_path in sorted((work / "data").glob("*")):
        folders = [path for suffix in SUFFIXES.values()
                    for path in sorted((work / "exp").glob(f"*/decode_{data_path.name}{suffix}"))
                    if (path / "text").is_file()]
        if not folders or not (data_path / "wav.scp").is_file():
            continue
        data = read_datadir(data_path)
        said = References({u.utterance: u.words for u in data.utterances.values()},
                          {u.utterance: u.speaker for u in data.utterances.values()})
        for path in sorted(folders, key=lambda path: (path / "text").stat().st_mtime):
            scores = said.score(read_hypotheses(path / "text"), interval=False)
            yield ScoredSet(f"{path.parent.name}, {path.name.removeprefix('decode_')}", data,
                            scores)


def speaker_errors(scores: Scores) -> list[tuple[str, int, int, int, float | None]]:
    """Return (speaker, utterances, words, errors, error rate in per cent), the worst first."""
    totals: dict[str, list[int]] = {}
    for name, alignment in scores.alignments.items():
        entry = totals.setdefault(scores.speakers.get(name, "?"), [0, 0, 0])
        for place, value in enumerate((1, alignment.words, alignment.errors)):
            entry[place] += value
    rows = [(speaker, count, words, errors, round(100 * errors / words, 2) if words else None)
            for speaker, (count, words, errors) in totals.items()]
    return sorted(rows, key=lambda row: (-(row[4] or 0), row[0]))


def _systems_part(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    if not measured_rows(rows, "wer"):
        return section("Systems", paragraph("No system was scored yet."))
    shown = measured_rows(rows, "wer")
    columns = [name for name in _RESULT_COLUMNS if any(row.get(name) is not None for row in shown)]
    parts = [picture(lambda file: draw_systems(rows, file, others),
                     "bars of the word error rates of all systems", reading(draw_systems)),
             table("Word error rates", ["system", *map(column_title, columns)],
                   [[row_name(row), *(row.get(name) for name in columns)] for row in shown])]
    if measured_rows(rows, "wer", "rtf"):
        parts.append(picture(lambda file: draw_error_rates(rows, file),
                             "word error rate against real-time factor",
                             reading(draw_error_rates)))
    return section("Systems", *parts)


def _decisions_part(work: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what was accepted and rejected, where the recipe has a command list."""
    shown = measured_rows(rows, "accepted_right")
    if not shown:
        return ""
    parts = [table("Commands accepted, others rejected (per cent)",
                   list(map(column_title, DECISION_COLUMNS)),
                   [[KNOWN.get(row.get(name), row.get(name)) if name == "known" else row.get(name)
                     for name in DECISION_COLUMNS] for row in shown])]
    trials: dict[str, Trials] = {}
    for path in sorted((work / "exp").glob("*/commands_*/trials")):
        try:
            trials[f"{path.parts[-3]}, {path.parent.name.removeprefix('commands_')}"] = (
                read_trials(path.parent))
        except UserError:
            continue  # of an earlier version, or not calibrated: the table has its figures
    curves = {}
    for name, one in trials.items():
        try:
            curves[name] = one.curve()
        except UserError:
            continue  # only commands, or only outside words: no curve
    if curves:
        counts = {name: trials[name].right_and_outside for name in curves}
        parts.append(picture(lambda file: draw_det(curves, file, counts),
                             "DET curves of the decisions", reading(draw_det)))
    parts += [picture(lambda file, one=one: draw_reliability(one.probabilities, one.labels, file),
                      f"reliability diagram of {name}", f"{name}. {reading(draw_reliability)}")
              for name, one in trials.items()]
    return section("Decisions", *parts)


def _errors_part(work: Path, sounds: _Sounds) -> str:
    parts, faultless = [], []
    for one in scored_sets(work):
        wrong = sorted((name for name, alignment in one.scores.alignments.items()
                        if alignment.errors),
                       key=lambda name: (-one.scores.alignments[name].errors, name))
        if not wrong:
            faultless.append(one.name)
            continue
        speakers = table("Errors by speaker", ["speaker", "utterances", "words", "errors",
                                               "WER %"], speaker_errors(one.scores))
        rows = [[name, *_two_sides(one.scores, name), sounds.player(one.data, name)]
                for name in wrong[:MOST_UTTERANCES]]
        caption = f"Utterances with the most errors, {len(rows)} of {len(wrong)}"
        parts.append(section(one.name, speakers, table(
            caption, ["utterance", "said", "recognised", "recording"], rows), level=3))
    if faultless:
        parts.append(paragraph(f"Without errors: {'; '.join(faultless)}."))
    return section("Errors", *parts) if parts else ""


def _two_sides(scores: Scores, name: str) -> tuple[str, str]:
    """Return what was said and what was recognised, the gaps left out."""
    pairs = scores.alignments[name].pairs
    return (" ".join(pair.reference for pair in pairs if pair.operation != "I"),
            " ".join(pair.hypothesis for pair in pairs if pair.operation != "D"))


def _trainings_part(work: Path) -> str:
    mixtures, networks = {}, {}
    for path in sorted((work / "exp").glob("*/history.json"), key=lambda p: p.stat().st_mtime):
        rows = read_history(path.parent)
        if rows:
            (networks if "round" in rows[0] else mixtures)[path.parent.name] = rows
    parts = [picture(lambda file, rows=rows: draw_training(rows, file), f"training of {what}",
                     reading(draw_training))
             for what, rows in (("mixtures", mixtures), ("networks", networks)) if rows]
    return section("Trainings", *parts) if parts else ""


def _stages_part(records: Mapping[str, Mapping[str, Any]]) -> str:
    total = sum(record.get("seconds") or 0 for record in records.values())
    parts = [paragraph(f"{len(records)} stages, {total:.0f} s together, in the order in which they "
                       "ran."),
             table("Stages", ["stage", "seconds", "what it says"],
                   [[name, record.get("seconds"), stage_words(name, record.get("line") or "")]
                    for name, record in records.items()])]
    for names, options in shared_options(records):
        title = f"{', '.join(names)}: {len(options)} options"
        parts.append(details(title, table("Options", ["option", "value"], options.items())))
    return section("Stages", *parts)


def stage_words(name: str, line: str) -> str:
    """Return what a stage's line says besides the names of the stage and of its directory.

    >>> stage_words("mono", "mono: work/a/exp/mono: 2 jobs, 1.19 h"), stage_words("lang", "9 words")
    ('2 jobs, 1.19 h', '9 words')
    """
    return re.sub(r"^[^:]*/exp/[^:]*: ", "", line.removeprefix(f"{name}: "))


def shared_options(records: Mapping[str, Mapping[str, Any]]
                   ) -> list[tuple[list[str], dict[str, Any]]]:
    """Return (names of stages, the options that all of them had), in the order of the first ones.

    >>> shared_options({"a": {"options": {"x": 1}}, "b": {"options": {}},
    ...                 "c": {"options": {"x": 1}}})
    [(['a', 'c'], {'x': 1})]
    """
    groups: list[tuple[list[str], dict[str, Any]]] = []
    for name, record in records.items():
        options = record["options"]
        names = next((names for names, others in groups if others == options), None)
        if names is not None:
            names.append(name)
        elif options:
            groups.append(([name], options))
    return groups


def _changes_part(work: Path, against: Path, rows: Sequence[Mapping[str, Any]],
                  others: Sequence[Mapping[str, Any]], records: Mapping[str, Mapping[str, Any]]
                  ) -> str:
    before = {row_name(row): row["wer"] for row in measured_rows(others, "wer")}
    changed = [[row_name(row), before[row_name(row)], row["wer"],
                round(row["wer"] - before[row_name(row)], 2)]
               for row in measured_rows(rows, "wer") if row_name(row) in before]
    options = changed_options(stage_records(against), records)
    parts = [table("Word error rates, %", ["system", "before", "now", "difference"], changed)
             if changed else paragraph("No system of both runs was scored on the same set."),
             table("Options", ["stage", "option", "before", "now"], options)
             if options else paragraph("No option of a stage that both have differs.")]
    old = {one.name: one.scores for one in scored_sets(against)}
    for one in scored_sets(work):
        if one.name not in old:
            continue
        pairs = [(name, old[one.name].alignments[name].errors, alignment.errors)
                 for name, alignment in one.scores.alignments.items()
                 if name in old[one.name].alignments]
        moved = [[name, was, now, *_two_sides(one.scores, name)] for name, was, now in pairs
                 if was != now]
        if moved:
            parts.append(details(
                f"{one.name}: {sum(row[1] > row[2] for row in moved)} utterances better, "
                f"{sum(row[1] < row[2] for row in moved)} worse",
                table(one.name, ["utterance", "errors before", "now", "said", "recognised now"],
                      moved[:10 * MOST_UTTERANCES])))
    return section(f"Against {against.resolve().name}", *parts)

"""Owns stages: steps of a recipe that are skipped while they are done and still valid.

A stage is valid while the digest of its inputs (contents of files, not their times) and its
options are those of its last successful run, and its outputs are there. The record of that run
is ``<workdir>/.stages/<name>.json``; a stage that was interrupted has none.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridasr.errors import UserError
from hybridasr.options import to_dict
from hybridasr.progress import logger
from hybridasr.storage import digest, digest_file, read_json, write_json

_FORMAT = 1
_SHOWN = 3  # changes that are named one by one


@dataclass(frozen=True)
class Stage:
    """One step: what it depends on and what it makes.

    Each input is a `Path` (file, or directory with all below it except ``log`` folders and hidden
    names), an options dataclass, a dict of named options, or a plain JSON-able value. Of a
    directory that later stages add to, name the files instead. Outputs are files, or directories
    that are not empty, when the stage is done.
    """

    name: str
    inputs: Sequence[Any]
    outputs: Sequence[Path]

    def depends_on(self, workdir: Path) -> dict[str, dict[str, Any]]:
        """Return the state of the inputs: ``files`` path -> digest, ``options`` name -> value.

        Paths inside `workdir` are relative to it, so that a work directory can be moved.
        """
        files: dict[str, str] = {}
        options: dict[str, Any] = {}
        for position, value in enumerate(self.inputs, start=1):
            if isinstance(value, Path):
                files[_short_name(value, workdir)] = _digest_path(value, self.name)
            elif dataclasses.is_dataclass(value):
                prefix = type(value).__name__
                options |= {f"{prefix}.{k}": v for k, v in to_dict(value).items()}
            elif isinstance(value, dict):
                options |= {str(k): v for k, v in value.items()}
            else:
                options[f"value {position}"] = value
        # Through JSON, so that a tuple or a Path compares equal to what is read back.
        return {"files": files, "options": json.loads(json.dumps(options, default=str))}

    def status(self, workdir: Path, state: dict[str, dict[str, Any]] | None = None
               ) -> tuple[str, str]:
        """Return ``done``, ``stale`` or ``missing``, and why in a few words.

        `state` is what `depends_on` gave, if it was called already: digests take time.
        """
        state = state or self.depends_on(workdir)
        record = _record_path(workdir, self.name)
        absent = [_short_name(path, workdir) for path in self.outputs if not _is_there(path)]
        if not record.exists():
            return "missing", "not finished yet"
        # The user may delete an output to have the stage run again.
        if absent:
            return "missing", f"{absent[0]} is not there"
        try:
            old = read_json(record)
            if old["format"] != _FORMAT:
                return "stale", "recorded by another version"
            changes = _name_changes(old["files"], old["options"], state)
        except (UserError, KeyError, TypeError, AttributeError):
            return "stale", "its record is damaged"
        more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
        return ("stale", "; ".join(changes[:_SHOWN] + more)) if changes else ("done", "")


def run_stage(workdir: str | Path, name: str, inputs: Sequence[Any], outputs: Sequence[Path],
              function: Callable[[], str | None], log: Callable[[str], None] = logger.info
              ) -> bool:
    """Run `function` unless the stage is done and valid; return whether it ran.

    `function` may return the one line that the stage closes with; `log` takes each line for the
    user; `name`, `inputs` and `outputs` are those of `Stage`, the record is kept in `workdir`.

    Raises `UserError` if an input is not there, and whatever `function` raises.
    """
    workdir = Path(workdir)
    stage = Stage(name, inputs, outputs)
    state = stage.depends_on(workdir)
    status, why = stage.status(workdir, state)
    if status == "done":
        log(f"{name} skipped: done")
        return False
    log(f"{name}: {why}" if status == "stale" else name)
    record = _record_path(workdir, name)
    # Before the work: a run that is killed must not look as if it were done.
    record.unlink(missing_ok=True)
    began = time.monotonic()
    line = function() or ""
    seconds = time.monotonic() - began
    absent = [str(path) for path in outputs if not _is_there(path)]
    assert not absent, f"stage {name} ended without {', '.join(absent)}"
    log(f"{line or name + ' done'} ({seconds:.1f} s)")
    write_json(record, {"format": _FORMAT, **state, "line": line, "seconds": round(seconds, 3)})
    return True


def _name_changes(old_files: dict[str, str], old_options: dict[str, Any],
                  state: dict[str, dict[str, Any]]) -> list[str]:
    """Say what differs from the recorded run, one phrase a change."""
    files, options = state["files"], state["options"]
    changes = [f"{name} changed" for name in files if old_files.get(name, "") != files[name]]
    changes += [f"{name} no longer an input" for name in old_files if name not in files]
    values = [f"{name.split('.')[-1]} {old_options.get(name)} -> {options.get(name)}"
              for name in {**old_options, **options}
              if name not in options or name not in old_options
              or options[name] != old_options[name]]
    return changes + (["options changed: " + ", ".join(values)] if values else [])


def _digest_path(path: Path, stage: str) -> str:
    if path.is_dir():
        names = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
        # Logs and hidden files change with every run and say nothing of the content.
        kept = [n for n in names if not any(part == "log" or part[0] == "." for part in n.parts)]
        return digest(*((str(name), digest_file(path / name)) for name in kept))
    if not path.is_file():
        raise UserError(f"no such file or directory, and stage {stage} needs it; run the stage "
                        "that makes it, or check the path", path)
    return digest_file(path)


def _is_there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _record_path(workdir: Path, name: str) -> Path:
    return Path(workdir) / ".stages" / f"{name}.json"


def _short_name(path: Path, workdir: Path) -> str:
    path, workdir = Path(path).absolute(), Path(workdir).absolute()
    return str(path.relative_to(workdir) if path.is_relative_to(workdir) else path)

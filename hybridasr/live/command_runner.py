"""Owns the programs started for accepted commands: never through a shell, not waited for."""

import json
import re
import shlex
import shutil
import subprocess
import time
from typing import Any

from hybridasr.errors import UserError
from hybridasr.live.ring_buffer import Notice

MOST_RUNNING = 16
PLACE = re.compile(r"\{(id|text|slots)\}")


class CommandRunner:
    """Starts a program for each accepted command.

    Parameters
    ----------
    line : str
        Program and arguments, split as a shell does. ``{id}``, ``{text}`` and ``{slots}`` (JSON)
        in the arguments are replaced; where none is there, id and text come as the last two.

    Raises
    ------
    UserError
        if the line cannot be split, or there is no such program.
    """

    def __init__(self, line: str):
        try:
            self._words = shlex.split(line)
        except ValueError as error:
            raise UserError(f"the program `{line}` cannot be split into arguments ({error}); mend "
                            "its quotes") from None
        if not self._words or shutil.which(self._words[0]) is None:
            raise UserError(f"no program '{self._words[0] if self._words else line}' to run; give "
                            "one that is on the PATH, or its path")
        self._running: list[tuple[str, subprocess.Popen]] = []

    def arguments(self, result: dict[str, Any]) -> list[str]:
        """Return program and arguments for a result.

        >>> CommandRunner("echo").arguments({"id": "on", "text": "打开 空调"})
        ['echo', 'on', '打开 空调']
        >>> CommandRunner("echo --id={id} now").arguments({"id": "on", "text": "打开 空调"})
        ['echo', '--id=on', 'now']
        >>> CommandRunner("echo {slots}").arguments({"id": "on", "text": "开灯", "slots": {"n": 2}})
        ['echo', '{"n": 2}']
        """
        values = {"id": str(result["id"]), "text": result["text"],
                  "slots": json.dumps(result.get("slots", {}), ensure_ascii=False)}
        program, *words = self._words
        if not any(map(PLACE.search, words)):
            return [program, *words, values["id"], values["text"]]
        # In one pass: a text that holds "{id}" stays what it is.
        return [program, *(PLACE.sub(lambda place: values[place[1]], word) for word in words)]

    def start(self, result: dict[str, Any]) -> list[Notice]:
        """Start the program for a result; return what went wrong at once."""
        if len(self._running) >= MOST_RUNNING:
            return [_failure(result["text"], f"is not started: {MOST_RUNNING} are still running")]
        try:
            # What it prints goes to standard error, so that events stay alone on standard output;
            # in a session of its own, Ctrl-C does not end it.
            process = subprocess.Popen(self.arguments(result), stdin=subprocess.DEVNULL, stdout=2,
                                       start_new_session=True)
        except (OSError, ValueError) as error:
            return [_failure(result["text"], f"cannot be started ({error})")]
        self._running.append((result["text"], process))
        return []

    def poll(self) -> list[Notice]:
        """Return the failures of programs that have ended since."""
        ended = [(text, process) for text, process in self._running if process.poll() is not None]
        self._running = [entry for entry in self._running if entry not in ended]
        return [_failure(text, f"ended with exit code {process.returncode}")
                for text, process in ended if process.returncode]

    def finish(self, patience: float = 2.0) -> list[Notice]:
        """Give the last programs `patience` seconds to end; those that go on are left alone."""
        deadline = time.monotonic() + patience
        for _, process in self._running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                break
        return self.poll()


def _failure(text: str, what: str) -> Notice:
    return Notice("program", f"the program for '{text}' {what}")

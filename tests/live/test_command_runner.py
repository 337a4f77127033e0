"""Programs for commands: arguments without a shell, failures as lines."""

import json
import sys

import pytest

from hybridasr.errors import UserError
from hybridasr.live.command_runner import MOST_RUNNING, CommandRunner

RESULT = {"id": "on; touch x", "text": "$(date) {id}"}


@pytest.mark.parametrize(("line", "arguments"), [
    ("", ["on; touch x", "$(date) {id}"]),
    ("--id={id} '{text}{text}'", ["--id=on; touch x", "$(date) {id}$(date) {id}"]),
    ("'a b' {text}", ["a b", "$(date) {id}"]),
])
def test_arguments_come_as_they_are(tmp_path, line, arguments):
    script = tmp_path / "write.py"
    script.write_text("import json, sys\n"
                      f"open({str(tmp_path / 'out')!r}, 'w').write(json.dumps(sys.argv[1:]))\n")
    runner = CommandRunner(f"{sys.executable} {script} {line}")
    assert runner.start(RESULT) == []
    assert runner.finish(60) == []
    assert json.loads((tmp_path / "out").read_text()) == arguments
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("line", "fault"), [
    ("'echo", "cannot be split into arguments"), ("", "no program '' to run"),
    ("no-such-program-here x", "no program 'no-such-program-here' to run; give one that is on"),
])
def test_a_program_that_cannot_be(line, fault):
    with pytest.raises(UserError, match=fault):
        CommandRunner(line)


def test_failures_are_told_once():
    runner = CommandRunner("false")
    assert runner.start(RESULT) == []
    notice, = runner.finish(60)
    assert notice.kind == "program"
    assert notice.message == "the program for '$(date) {id}' ended with exit code 1"
    assert runner.poll() == []
    notice, = CommandRunner("echo").start({"id": "on", "text": "zero\0byte"})
    assert "cannot be started" in notice.message


def test_programs_that_hang_are_not_heaped_up():
    runner = CommandRunner(f"{sys.executable} -c 'import time; time.sleep(60)'")
    try:
        assert [runner.start(RESULT) for _ in range(MOST_RUNNING)] == [[]] * MOST_RUNNING
        notice, = runner.start(RESULT)
        assert "is not started: 16 are still running" in notice.message
        assert runner.finish(0.0) == []
    finally:
        for _, process in runner._running:
            process.kill()
            process.wait()

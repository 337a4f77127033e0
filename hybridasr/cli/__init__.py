"""Owns the command line: verbs to functions, errors to lines and exit codes, nothing else.

Exit 0: done; 1: the user can mend it (one line on stderr); 2: wrong usage. Only the modules that a
verb needs are imported, so that help and small verbs start at once.
"""

import argparse
import difflib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

# One thread a process, whatever the caller's environment says: jobs are the parallelism, and sums
# come out the same for any number of them.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from hybridasr import __version__
from hybridasr.cli import (
    command_lists,
    data,
    deploy,
    evaluation,
    inspection,
    kernels,
    label_models,
    language,
    language_models,
    lattice_copies,
    lattice_lms,
    lattice_tools,
    live,
    pictures,
    recipes,
    recognition,
    reports,
    sequence_verbs,
    text_tools,
    train,
    training_sets,
    voice,
    wake,
)
from hybridasr.cli.verb import Parser, Verb
from hybridasr.errors import UserError

VERBS: dict[str, Verb] = {**recipes.VERBS, **data.VERBS, **language.VERBS,
                          **language_models.VERBS, **text_tools.VERBS, **train.VERBS,
                          **sequence_verbs.VERBS,
                          **label_models.VERBS,
                          **training_sets.VERBS,
                          **recognition.VERBS, **live.VERBS, **wake.VERBS, **evaluation.VERBS,
                          **lattice_tools.VERBS, **lattice_copies.VERBS, **lattice_lms.VERBS,
                          **inspection.VERBS, **command_lists.VERBS, **voice.VERBS, **deploy.VERBS,
                          **pictures.VERBS, **reports.VERBS}
# The verb that compiles the kernels runs the others, so it is made when they are known.
VERBS.update(kernels.verbs(VERBS))
# Modules whose functions numba calls where it looks for no exception: what hands over arrays and
# named tuples.
_NO_EXCEPTIONS = ("numba.core.serialize", "namedtuple_")


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    _open_streams()
    with _stopping() as stopped_by:
        try:
            code = _run(words)
            # Here, so that a full disk or a closed pipe shows while errors are still told.
            sys.stdout.flush()
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; run the same command again\n")
            # 128 + the number of the signal, as shells report a process that a signal ended.
            return 128 + (stopped_by[0] if stopped_by else signal.SIGINT)
        except BrokenPipeError:
            # The reader, such as `head`, has enough: no fault of this program.
            _drop_output()
            return 0
        except Exception as error:
            if "--debug" in words:
                raise
            _drop_output()
            sys.stderr.write(f"error: {_line(error)}\n")
            return 1
    return code


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(f"hybridasr {__version__}")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    verb = VERBS.get(words[0])
    if verb is None:
        near = difflib.get_close_matches(words[0], VERBS, 1)
        hint = f"did you mean '{near[0]}'?" if near else "see hybridasr --help"
        sys.stderr.write(f"hybridasr: no verb '{words[0]}'; {hint}\n")
        return 2
    # The recipe's users see the script, not the verb behind it.
    program = "egs/run.sh" if words[0] == "run-recipe" else f"hybridasr {words[0]}"
    verb, kind, rest = verb.of_kind(words[1:])
    program = " ".join([program, *kind])
    # No abbreviations: a new option would change what an old script means.
    parser = Parser(prog=program, description=verb.help, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debug", action="store_true", help="more messages; traceback on errors")
    try:
        verb.arguments(parser)
        args = parser.parse(rest)
    # argparse exits by itself for --help and wrong options; `main` returns a code instead.
    except SystemExit as stop:
        return int(stop.code or 0)
    # Imported only now: --help must not wait for numpy.
    from hybridasr.progress import show_messages

    show_messages(logging.DEBUG if args.debug else logging.INFO)
    verb.run(args)
    return 0


def _line(error: Exception) -> str:
    """Return the one line that tells the user about an error."""
    if isinstance(error, UserError):
        return str(error)
    # The operating system's errors (disk full, no permission) are the user's to mend.
    if isinstance(error, OSError):
        from hybridasr.storage import write_error

        return str(write_error(error, error.filename or "output"))
    # A name in another encoding can be read from the disk and not be printed.
    if isinstance(error, UnicodeEncodeError):
        name = error.object[error.start:error.end].encode("utf-8", "backslashreplace").decode()
        return f"a name holds '{name}', which is not UTF-8; rename the file"
    # A missing module of our own is a fault of the installation that --debug should show in full.
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("hybridasr"):
        return (f"'{error.name}' is not installed; install the package with what it needs: pip "
                "install 'hybridasr[recipes]'")
    if isinstance(error, MemoryError):
        return "out of memory; give a smaller --nj, or shorter recordings"
    # On one line, whatever line breaks the message of the library has.
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"a fault of the program ({what}); please report it with what --debug prints"


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a `KeyboardInterrupt`; yield the list of them.

    The second one must not disturb the clean-up; the third ends the program at once. Where Python
    drops exceptions (in ``__del__``, in callbacks of C), or a kernel hands over its results and
    looks for none, the first is sent once more.
    """
    signals: list[int] = []
    # Python calls this hook for exceptions that it cannot raise.
    report = sys.unraisablehook

    def send_once_more() -> None:
        again = threading.Timer(0.1, os.kill, (os.getpid(), signals.pop()))
        again.daemon = True
        again.start()

    def report_once_more(failure: Any) -> None:
        if signals and issubclass(failure.exc_type, KeyboardInterrupt):
            send_once_more()
        else:
            report(failure)

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) == 1:
            place = "" if frame is None else frame.f_globals.get("__name__", "")
            if place.startswith(_NO_EXCEPTIONS):
                send_once_more()
            else:
                raise KeyboardInterrupt
        if len(signals) > 2:
            os._exit(128 + number)

    # Python's own handlers; anything else is a choice of the caller's.
    usual = (signal.default_int_handler, signal.SIG_DFL)
    old = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What the caller has chosen stays (nohup ignores SIGHUP).
        if number is not None and signal.getsignal(number) in usual:
            try:
                old[number] = signal.signal(number, stop)
            except ValueError:  # not the main thread
                break
    sys.unraisablehook = report_once_more
    try:
        yield signals
    finally:
        sys.unraisablehook = report
        # Whoever was interrupted is about to end, and the second one may still come.
        for number, handler in old.items() if not signals else ():
            signal.signal(number, handler)


def _open_streams() -> None:
    """Make output possible where the streams are closed, or know only some characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # pythonw and some services start programs without any standard streams.
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            # In JSON this is a valid escape, too.
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send the rest of the output nowhere, so that its failure is not told again at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes stdout once more at its end, and would print a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:{width}}  {verb.help.splitlines()[0]}" for name, verb in VERBS.items()]
    return "usage: hybridasr VERB [options] arguments\n\n" + "\n".join(lines) + (
        "\n\nhybridasr VERB --help tells the rest; egs/run.sh runs a whole recipe.")

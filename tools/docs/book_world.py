"""The place in which the book's commands run: recordings, small models, lists, all made here.

`make_world` is used by the tests of the pages and by the build of the site, whose pictures
come from it. Paths are those of a checkout after ``egs/run.sh``; the models are smaller, so that it
takes a few minutes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.datadir import write_datadir
from hybridasr.corpus.readers.commands_zh import default_list
from hybridasr.corpus.synth import SynthOptions, synthesize_corpus

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SMALL = Path(__file__).resolve().parent / "world"
SYNTH = SynthOptions(train_speakers=12, test_speakers=3, repetitions=1, test_repetitions=1,
                     sentence_speakers=2)
OUTSIDE, SENTENCES = 15, 30  # so many of the lists of egs/commands_zh
SAID = "打开空调"  # in the recordings that pages name
FILES = {"two.txt": "开门\n关门\n", "fillers.txt": "打开冰箱\n",
         "commands.txt": "打开空调\n关闭空调\n播放音乐\n"}


def run_program(words: list[str], place: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run ``hybridasr WORDS`` in a folder, with this checkout's code."""
    return subprocess.run([sys.executable, "-m", "hybridasr.cli", *words], cwd=place,
                          capture_output=True, text=True, check=False, timeout=1800,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment})


def make_world(root: Path) -> Path:
    """Make recordings, models and lists in a folder, as far as they are not there; return it."""
    root.mkdir(parents=True, exist_ok=True)
    work = root / "work" / "commands_zh"
    lists = [[command.text for command in read_commands(path)] for path in (
        SMALL / "commands.txt", default_list("outside.txt"), default_list("sentences.txt"))]
    sets = synthesize_corpus(work / "corpus", lists[0], lists[1][:OUTSIDE], lists[2][:SENTENCES],
                             options=SYNTH)
    for name, utterances in sets.items():
        write_datadir(root / "recordings" / name, utterances)
    recipe = root / "recipes" / "commands_zh"
    shutil.copytree(SMALL, recipe, dirs_exist_ok=True)
    done = run_program(["run-recipe", "--recipes", str(recipe.parent), "--recipe", "commands_zh",
                        "--corpus", str(root / "recordings"), "--work", "work/commands_zh",
                        "--nj", "1"], root)
    if done.returncode:
        raise RuntimeError(f"the models of the book were not made: {done.stderr[-2000:]}")
    said = next(u.wav for u in sets["test"] if "".join(u.words) == SAID)
    samples, rate = soundfile.read(said, dtype="int16")
    for name in ("light.wav", "open.wav", "one.wav", "two.flac"):
        soundfile.write(root / name, samples, rate)
    # Another run, to compare with.
    if not (root / "work" / "before").exists():
        (root / "work" / "before").symlink_to("commands_zh")
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    return root

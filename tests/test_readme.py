"""README's commands and Python, run in the order in which they are printed, on a small corpus."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybridasr.cli import VERBS
from hybridasr.cli.verb import Parser
from hybridasr.corpus.synth import SynthOptions, synthesize_corpus

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CHINESE = (REPOSITORY / "README.zh.md").read_text(encoding="utf-8")
COMMANDS = ["打开空调", "关闭空调", "打开电视", "关闭电视", "播放音乐", "停止播放"]
OUTSIDE = ["沙发", "今天下雨", "谢谢", "打开书", "天气", "下面", "大家", "音响"]
NETWORK = "splice offsets=-4:4\naffine dim=64\nbatchnorm\nrelu\noutput\n"


def lines(text: str, program: str) -> list[str]:
    """The indented lines of a page that call a program, without their comments."""
    return [" ".join(shlex.split(line, comments=True)) if "#" in line else line
            for line in re.findall(rf"^    ({program}(?: .*)?)$", text, re.M)]


def verbs_block(text: str) -> list[str]:
    """The longest run of lines that call verbs."""
    return max((block.split("\n") for block in re.findall(r"(?:^    hybridasr .*\n)+", text, re.M)),
               key=len)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what README takes for granted: recordings, a network, lists."""
    root = tmp_path_factory.mktemp("readme")
    sets = synthesize_corpus(root / "spoken", COMMANDS, OUTSIDE, options=SynthOptions(
        train_speakers=10, test_speakers=2, repetitions=1, test_repetitions=1, held_out=0))
    for name, utterances in sets.items():
        for number, utterance in enumerate(utterances):
            folder = root / "CORPUS" / "".join(utterance.words)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(utterance.wav, folder / f"{utterance.speaker}-{name}{number}.flac")
    said = {"".join(u.words): Path(u.wav) for u in sets["test"]}
    for name, text in (("one.wav", "打开空调"), ("two.flac", "播放音乐"),
                       ("light.wav", "打开空调")):
        shutil.copy(said[text], root / name)
    (root / "nnet.conf").write_text(NETWORK)
    (root / "chain.conf").write_text(NETWORK.replace("=-4:4", "=-4:4 stride=3"))
    (root / "commands.txt").write_text("\n".join(COMMANDS[:4]) + "\n", encoding="utf-8")
    (root / "fillers.txt").write_text("打开书\n", encoding="utf-8")
    return root


def run(place: Path, line: str) -> str:
    """Run a line as in a shell; return what it printed on stderr if it fails."""
    done = subprocess.run([sys.executable, "-m", "hybridasr.cli", *shlex.split(line)[1:]],
                          cwd=place, capture_output=True, text=True, check=False, timeout=600,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert "Traceback" not in done.stderr, done.stderr
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]


@pytest.mark.slow
def test_verbs_in_their_printed_order(place):
    block = [line.strip() for line in verbs_block(README) if line.strip()]
    assert len(block) > 30
    failures = {}
    for line in block:
        if "data/other" in line and not (place / "data" / "other").exists():
            # A set of the user's own, which no line before has made.
            for name in ("wav.scp", "text", "utt2spk", "spk2utt"):
                (place / "data" / "other").mkdir(exist_ok=True)
                shutil.copy(place / "data" / "test" / name, place / "data" / "other" / name)
        failure = run(place, line)
        if failure:
            failures[line] = failure
    assert failures == {}
    for name in ("log/decode.log", "text", "ctm", "scoring_kaldi"):
        assert (place / "exp" / "tri3b" / "decode_test" / name).exists(), name
    assert (place / "a1.svg").is_file()


@pytest.mark.slow
def test_command_lists_and_python(place, capsys):
    if not (place / "exp" / "dnn" / "confidence.json").is_file():
        pytest.skip("the verbs did not run")
    for name in ("own", "commands_zh"):
        (place / "work" / name).mkdir(parents=True)
        (place / "work" / name / "exp").symlink_to(place / "exp")
    others = [line.strip() for line in lines(README, "hybridasr") if "work/own" in line]
    assert len(others) == 3
    assert {line: failure for line in others if (failure := run(place, line))} == {}
    blocks = [block.replace("\n    ", "\n").strip() for block
              in re.findall(r"^    import hybridasr\n(?:(?:    .*)?\n)+", README, re.M)]
    assert len(blocks) == 2
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], cwd=place, capture_output=True,
                              text=True, check=False, timeout=600,
                              env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_both_languages_have_the_same_commands():
    assert verbs_block(CHINESE) == verbs_block(README)
    assert set(lines(CHINESE, "hybridasr")) == set(lines(README, "hybridasr"))


@pytest.mark.parametrize("text", [README, CHINESE], ids=["README.md", "README.zh.md"])
def test_options_of_recipes_exist(text):
    calls = lines(text, "egs/run.sh")
    assert len(calls) > 5
    parser = Parser(prog="egs/run.sh", description="", allow_abbrev=False)
    VERBS["run-recipe"].arguments(parser)
    for line in calls:
        parser.parse(shlex.split(line)[1:])

"""The pages about commands, live audio, products: their Python runs as written."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hybridasr.confidence.calibration import Calibration, Regression, save_calibration
from hybridasr.corpus.datadir import read_datadir, write_datadir
from hybridasr.corpus.synth import SynthOptions, synthesize_corpus
from hybridasr.features.feature_set import make_feats
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.graph.mklang import make_lang
from hybridasr.lexicon.langdir import LangOptions, read_lang
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor
from hybridasr.train.mono import MonoOptions, train_mono

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "commands.md"
LIVE, DEPLOY = (REPOSITORY / "docs" / name for name in ("live.md", "deploy.md"))
PAGES = [PAGE, LIVE, DEPLOY, *(REPOSITORY / name for name in (
    "docs/commands.zh.md", "docs/live.zh.md", "docs/labels.md", "docs/sentences.md",
    "docs/pictures.md", "README.md", "README.zh.md"))]
TEXTS = ["打开空调", "关闭空调", "播放音乐", "打开书房灯", "停止播放", "打开冰箱"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory as the page has it: a calibrated model and two recordings of a new speaker."""
    sets = synthesize_corpus(tmp_path / "corpus", commands=TEXTS, outside=[], sentences=[],
                             options=SynthOptions(train_speakers=4, test_speakers=1,
                                                  repetitions=1, test_repetitions=1))
    pool, features = SerialExecutor(), FeatureOptions(use_energy=False)
    make_feats(write_datadir(tmp_path / "train", sets["train"]), features, pool)
    make_lang([tmp_path / "train"], tmp_path / "lang", LangOptions())
    model = tmp_path / "work" / "commands_zh" / "exp" / "dnn"
    train_mono(read_datadir(tmp_path / "train"), read_lang(tmp_path / "lang"), features,
               PipelineOptions(norm_vars=True), model, pool,
               build_options(MonoOptions, num_iters=10, max_iter_inc=6, totgauss=150))
    save_calibration(Calibration(("filler_ratio",), Regression(
        np.zeros(1), np.ones(1), np.ones(1), 3.0), 0.5), model)
    said = {"".join(u.words): Path(u.wav) for u in sets["test"]}
    for name, text in (("open", "打开空调"), ("fridge", "打开冰箱")):
        shutil.copy(said[text], tmp_path / f"{name}.wav")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_of_the_page_runs_as_written(place, capsys, page):
    code = "".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))
    exec(compile(code, str(page), "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*\)  # (.+)", code)

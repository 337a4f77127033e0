"""The verbs that train, align and explain, as a user runs them."""

import json

import pytest
from test_cli import error_of, hybridasr, world  # noqa: F401 (world is a fixture)

from hybridasr.output.ctm import read_ctm
from hybridasr.output.textgrid import read_textgrid

SHORT = ["--num-iters", "6", "--max-iter-inc", "4", "--thresh", "100"]


@pytest.fixture(scope="module")
def ladder(world, tmp_path_factory):  # noqa: F811
    """The world with tri1, tri2b and tri3b above its monophones."""
    exp = tmp_path_factory.mktemp("exp")
    data, lang = world / "train", world / "lang"
    hybridasr("train-deltas", "--nj", 2, *SHORT, 60, 150, data, lang, world / "exp" / "mono",
              exp / "tri1")
    hybridasr("train-lda-mllt", 60, 150, *SHORT, data, lang, exp / "tri1", exp / "tri2b")
    hybridasr("train-sat", *SHORT, "--numleaves", 60, "--totgauss", 150, data, lang,
              exp / "tri2b", exp / "tri3b")
    return exp


@pytest.mark.parametrize("system", ["tri1", "tri2b", "tri3b"])
def test_systems_decode(world, ladder, system):  # noqa: F811
    model = ladder / system
    hybridasr("mkgraph", "--commands", world / "commands.txt", model)
    (row,) = json.loads(hybridasr("evaluate", model, world / "test").stdout)
    assert row["ser"] <= 25
    assert row["system"] == system
    log = (model / "log" / "train.log").read_text()
    assert "tree:" in log
    file = next((world / "corpus").rglob("*.flac"))
    assert json.loads(hybridasr("recognize", model, file).stdout)["partial"] is False


def test_align(world, ladder, tmp_path):  # noqa: F811
    run = hybridasr("align", "--nj", 2, "--states", "true", "--textgrid", "true", world / "test",
                    world / "lang", ladder / "tri3b", tmp_path / "ali")
    assert "log likelihood a frame" in run.stderr
    assert run.stdout.startswith(f"{tmp_path / 'ali' / 'outliers.txt'}: ")
    names = {path.name for path in (tmp_path / "ali").iterdir()}
    assert names >= {"ali.ark", "ali.scp", "trans.ark", "words.ctm", "phones.ctm", "states.ctm",
                     "textgrid", "outliers.txt", "model.json", "log"}
    text = dict(line.split(" ", 1) for line in (world / "test" / "text").read_text().splitlines())
    words = {}
    for row in read_ctm(tmp_path / "ali" / "words.ctm"):
        words.setdefault(row.recording, []).append(row.symbol)
    assert {name: " ".join(said) for name, said in words.items()} == text
    grids = sorted((tmp_path / "ali" / "textgrid").iterdir())
    assert len(grids) == len(text)
    assert set(read_textgrid(grids[0])[1]) == {"words", "phones", "states"}


def test_a_next_system_from_an_alignment_directory(world, ladder, tmp_path):  # noqa: F811
    hybridasr("align", world / "train", world / "lang", ladder / "tri3b", tmp_path / "ali")
    hybridasr("train-quick", 60, 150, *SHORT, world / "train", world / "lang", tmp_path / "ali",
              tmp_path / "tri4b")
    assert (tmp_path / "tri4b" / "adapt.npz").is_file()


@pytest.mark.slow
def test_network(world, ladder, tmp_path):  # noqa: F811
    (tmp_path / "nnet.conf").write_text("splice offsets=-3:3\naffine dim=64\nrelu\noutput\n")
    run = hybridasr("train-dnn", "--nj", 2, "--network", tmp_path / "nnet.conf", "--num-epochs", 8,
                    world / "train", world / "lang", ladder / "tri3b", tmp_path / "dnn")
    assert "frames right" in run.stderr
    assert "epoch 7" in (tmp_path / "dnn" / "log" / "train.log").read_text()
    hybridasr("mkgraph", "--commands", world / "commands.txt", tmp_path / "dnn")
    (row,) = json.loads(hybridasr("evaluate", tmp_path / "dnn", world / "test").stdout)
    assert row["ser"] <= 25
    hybridasr("align", world / "test", world / "lang", tmp_path / "dnn", tmp_path / "ali")
    file = next((world / "corpus").rglob("*.flac"))
    (heard,) = json.loads(hybridasr("vad", tmp_path / "dnn", file).stdout)["speech"]
    assert 0 <= heard["start"] < heard["end"]
    run = hybridasr("quantize", tmp_path / "dnn", tmp_path / "int8")
    assert "bytes of acoustics" in run.stderr
    (small,) = json.loads(hybridasr("evaluate", tmp_path / "int8", world / "test").stdout)
    assert abs(small["ser"] - row["ser"]) <= 10
    whole, small = (json.loads(hybridasr("model-info", tmp_path / name).stdout)
                    for name in ("dnn", "int8"))
    assert whole["parameters"] > 5_000
    assert whole["multiplications_a_second"] == small["multiplications_a_second"] > 1e5
    assert small["acoustic_bytes"] < whole["acoustic_bytes"]
    assert "is the model itself" in error_of("quantize", tmp_path / "dnn", tmp_path / "dnn")
    assert "only a network" in error_of("quantize", ladder / "tri1", tmp_path / "y")
    assert "voice activity needs a network" in error_of("vad", ladder / "tri1", file)
    assert json.loads(hybridasr("model-info", ladder / "tri3b").stdout)["adapted"] is True
    assert "nnet.conf:1: splise" in error_of(
        "train-dnn", "--network", _described(tmp_path / "bad" / "nnet.conf", "splise\n"),
        world / "train", world / "lang", ladder / "tri3b", tmp_path / "x")


def _described(path, text):
    path.parent.mkdir()
    path.write_text(text)
    return path


def test_show_tree(ladder, tmp_path):
    text = hybridasr("show-tree", ladder / "tri1").stdout
    assert text.startswith("phone?")
    assert "one of" in text
    assert hybridasr("show-tree", "--pdf", 0, ladder / "tri1").stdout.startswith("pdf 0\nway 1")
    assert "no pdf 9999" in error_of("show-tree", "--pdf", 9999, ladder / "tri1")
    assert "no phone 'xyz'" in error_of("show-tree", "--phone", "xyz", ladder / "tri1")
    pytest.importorskip("matplotlib")
    hybridasr("show-tree", "--phone", "SIL", "--picture", tmp_path / "sil.svg", ladder / "tri1")
    assert (tmp_path / "sil.svg").stat().st_size > 0


def test_wrong_arguments(world, tmp_path):  # noqa: F811
    assert "wants [NUMLEAVES TOTGAUSS] DATA LANG ALI EXP, 2 arguments are there" in error_of(
        "train-deltas", world / "train", world / "lang")
    assert "no model.json there" in error_of(
        "train-sat", world / "train", world / "lang", tmp_path, tmp_path / "tri")
    assert "context-width is 5" in error_of(
        "train-deltas", "--context-width", 5, world / "train", world / "lang",
        world / "exp" / "mono", tmp_path / "tri")
    assert "fmllr-iters '2 x' must be numbers" in error_of(
        "train-sat", "--fmllr-iters", "2 x", world / "train", world / "lang",
        world / "exp" / "mono", tmp_path / "tri")


def test_pitch_in_any_system(world, tmp_path):  # noqa: F811
    data = tmp_path / "data"
    hybridasr("subset-data", "--first", 12, world / "train", data)
    hybridasr("make-feats", "--pitch", "true", data)
    assert json.loads((data / "feature.json").read_text())["pitch"] is True
    assert "pitch expected False, found True" in error_of(
        "train-deltas", data, world / "lang", world / "exp" / "mono", tmp_path / "tri")
    hybridasr("train-mono", "--num-iters", 3, "--totgauss", 30, data, world / "lang",
              tmp_path / "mono")
    hybridasr("train-lda-mllt", "--num-iters", 3, 20, 40, data, world / "lang", tmp_path / "mono",
              tmp_path / "tri")

"""The verbs that draw and write pages, run in this process: all kinds, and wrong input."""

import shutil

import pytest

from hybridasr.cli import main
from hybridasr.cli.pictures import KINDS
from hybridasr.confidence.calibration import Calibration, Regression, save_calibration
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.model.directory import copy_beside, load_model, save_model
from hybridasr.storage import write_json

pytest.importorskip("matplotlib")
np = pytest.importorskip("numpy")
ROW = {"system": "mono", "test_set": "t", "grammar": "loop", "known": "all", "wer": 3.0,
       "rtf": 0.01}


@pytest.fixture(scope="module")
def place(spoken_world, tmp_path_factory):
    """A directory with a calibrated model, a command list, results and small graphs."""
    root = tmp_path_factory.mktemp("pictures")
    model = load_model(spoken_world.mono)
    save_model(model, root / "mono")
    copy_beside(spoken_world.mono, root / "mono")
    save_calibration(Calibration(("filler_ratio",), Regression(
        np.zeros(1), np.ones(1), np.ones(1), 0.0), 0.5), root / "mono")
    (root / "commands.txt").write_text("da1ti1\nbu1la1\n")
    write_json(root / "results.json", [ROW])
    DecodingGraph.from_arcs(0, [0, 1], [1, 2], [0, 1], [0.5, 0.0], [1, 1], [np.inf, 0.0]).save(
        root / "graph.npz")
    decode = root / "mono" / "decode_test"
    decode.mkdir()
    names = list(spoken_world.test.utterances)
    (decode / "text").write_text("".join(
        f"{name} {' '.join(spoken_world.test.utterances[name].words)}\n" for name in names[1:]))
    assert main(["evaluate", "--commands", str(root / "commands.txt"), str(root / "mono"),
                 str(spoken_world.test.path)]) == 0
    (root / "lat").write_text("u1\n0\t1\t1\t1,12,4_4\n0\t1\t2\t1.5,12,4_5\n1\n\n")
    (root / "words.txt").write_text("<eps> 0\nopen 1\nclose 2\n")
    return root


@pytest.fixture
def words(place, spoken_world):
    """The words of a call for each kind, without the picture."""
    audio = spoken_world.test.utterances["t0-000"].wav
    mono = place / "mono"
    heard = ["--commands", place / "commands.txt", mono, audio]
    calls = {
        "waveform": [audio], "spectrum": ["--time", 0.2, audio], "spectrogram": [audio],
        "filterbank": ["--num-mel-bins", 40], "mfcc": ["--model", mono, audio], "pitch": [audio],
        "alignment": ["--text", "da1 ti1", mono, audio], "topology": [mono, "a1"],
        "gaussians": ["--phone", "a1", spoken_world.mono, spoken_world.train.path],
        "tree": ["--phone", "a1", mono], "fst": [place / "graph.npz"], "trellis": heard,
        "lattice": [place / "lat", place / "words.txt", "u1"], "posteriogram": heard,
        "training": [spoken_world.mono],
        "confusion": ["--unit", "phone", "--model", mono, spoken_world.test.path,
                      mono / "decode_test"],
        "systems": [place], "error-rate": [place / "results.json"],
        "reliability": [mono / "commands_test"], "det": [mono / "commands_test"],
        "roc": [mono / "commands_test"]}
    return {kind: list(map(str, call)) for kind, call in calls.items()}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_draws(kind, words, tmp_path):
    assert main(["show", kind, *words[kind], str(tmp_path / "a.svg")]) == 0
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


def error_of(capsys, *call):
    assert main(list(map(str, call))) == 1
    return capsys.readouterr().err


def test_wrong_input_is_told(place, words, tmp_path, capsys, spoken_world):
    picture = tmp_path / "a.svg"
    audio, mono = words["waveform"][0], place / "mono"
    for call, line in (
            (["waveform", audio, tmp_path / "a.txt"], "ends in .svg, .png or .pdf"),
            (["waveform", tmp_path / "no.wav", picture], "no.wav"),
            (["spectrum", "--time", 99, audio, picture], "time is 99 s"),
            (["mfcc", "--num-ceps", 5, "--model", mono, audio, picture],
             "--num-ceps has no effect with the features of"),
            (["topology", mono, "x1", picture], "no phone 'x1'"),
            (["topology", mono, "#0", picture], "no phone '#0'"),
            (["gaussians", mono, spoken_world.train.path, picture], "one of --pdf and --phone"),
            (["gaussians", "--pdf", 0, mono, spoken_world.train.path, picture], "no alignment"),
            (["gaussians", "--pdf", 9999, mono, spoken_world.train.path, picture], "no pdf 9999"),
            (["gaussians", "--pdf", 0, "--columns", "0,99", spoken_world.mono,
              spoken_world.train.path, picture], "columns '0,99'"),
            (["alignment", "--text", "xyz", mono, audio, picture], "no word 'xyz'"),
            (["alignment", "--text", "da1", "--beam", 5, mono, audio, picture],
             "--beam has no effect with --text"),
            (["fst", place / "mono" / "model.json", picture], "model.json"),
            (["training", tmp_path, picture], "has no history.json"),
            (["confusion", "--model", mono, spoken_world.test.path, mono / "decode_test", picture],
             "--model has no effect on words"),
            (["systems", tmp_path, picture], "has no row with wer"),
            (["det", tmp_path, picture], "trials")):
        assert line in error_of(capsys, "show", *call), call
    assert not picture.exists()


def test_a_recording_is_not_written_over(words, tmp_path, capsys):
    copy = tmp_path / "a.png"
    shutil.copy(words["waveform"][0], copy)
    assert "written over" in error_of(capsys, "show", "waveform", copy, copy)


def test_wrong_usage(capsys):
    assert main(["show", "nothing", "a.png"]) == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
    assert main(["show", "topology", "a"]) == 2
    assert "hybridasr show topology: " in capsys.readouterr().err
    assert main(["show", "topology", "--help"]) == 0
    assert "usage: hybridasr show topology" in capsys.readouterr().out


def test_explain_and_report(place, words, tmp_path, capsys):
    audio = words["waveform"][0]
    call = ["explain", "--commands", place / "commands.txt", place / "mono", audio]
    assert main([*map(str, call), str(tmp_path / "a.html")]) == 0
    assert "Accepted as" in (tmp_path / "a.html").read_text()
    assert "ends in .html" in error_of(capsys, *call, tmp_path / "a.pdf")
    assert "no work directory" in error_of(capsys, "report", place, tmp_path / "b.html")

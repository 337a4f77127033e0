"""The verbs of lattices, run in this process."""

import gzip
import json

import pytest

from hybridasr.cli import main
from hybridasr.lattice.lattice_text import read_lattices

WORDS = "<eps> 0\nopen 1\nclose 2\ndoor 3\n"
LATTICES = """u1\x20
0\t1\t1\t1,12,4_4
0\t1\t2\t1.5,12,4_5
1\t2\t3\t0.5,24,6_6
2

u2\x20
0\t1\t3\t2,0,7
1

"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "lat").write_text(LATTICES)
    (tmp_path / "words.txt").write_text(WORDS)
    (tmp_path / "text").write_text("u1 close door\nu2 open door\nu3 door\n")
    return [str(tmp_path / "lat"), str(tmp_path / "words.txt")]


def rows(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_nbest(files, capsys):
    assert main(["lattice-to-nbest", "--n", "5", *files]) == 0
    first, second = rows(capsys)
    assert first == {"utterance": "u1", "alternatives": [
        {"text": "open door", "graph_cost": 1.5, "acoustic_cost": 36.0, "total_cost": 4.5},
        {"text": "close door", "graph_cost": 2.0, "acoustic_cost": 36.0, "total_cost": 5.0}]}
    assert len(second["alternatives"]) == 1
    assert main(["lattice-to-nbest", "--n", "1", "--acoustic-scale", "1", *files]) == 0
    (best,) = rows(capsys)[0]["alternatives"]
    assert best["total_cost"] == 37.5
    assert main(["lattice-to-nbest", "--n", "0", *files]) == 1
    assert main(["lattice-to-nbest", "--acoustic-scale", "0", *files]) == 1


def test_oracle(files, tmp_path, capsys):
    assert main(["lattice-oracle", *files, str(tmp_path / "text")]) == 0
    # "close door" is there; "open" of the second is not; the third has no lattice.
    assert capsys.readouterr().out.startswith("%WER 25.00 [ 1 / 4, 0 ins, 1 del, 0 sub ]")
    assert main(["lattice-oracle", *files, str(tmp_path)]) == 0


def test_mbr(files, capsys):
    assert main(["lattice-mbr-decode", *files]) == 0
    first, second = rows(capsys)
    assert first["text"] == "open door"
    assert first["result"][0] == {"word": "open", "start": 0.0, "end": 0.02,
                                  "conf": pytest.approx(1 / (1 + 2.718281828**-0.5), abs=1e-3)}
    assert second["expected_errors"] == 0


def test_picture(files, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "lattice.svg"
    assert main(["show-lattice", *files, "u1", str(picture)]) == 0
    assert "<svg" in picture.read_text()
    assert main(["show-lattice", *files, "u9", str(picture)]) == 1
    assert "no lattice of utterance 'u9'" in capsys.readouterr().err
    assert main(["show-lattice", *files, "u1", str(tmp_path / "lattice.txt")]) == 1
    assert ".svg, .png or .pdf" in capsys.readouterr().err


def test_bad_input_is_one_line_with_file_and_line(files, tmp_path, capsys):
    (tmp_path / "lat").write_text(LATTICES.replace("0\t1\t3\t2", "0\t1\t9\t2"))
    assert main(["lattice-to-nbest", *files]) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert f"{files[0]}:8: lattice of 'u2': word 9 is not in the table of words" in error[0]


@pytest.fixture
def decoded(tmp_path):
    """A decode directory whose record says scale 1/2 and the graph."""
    graph, decode = tmp_path / "graph", tmp_path / "decode"
    graph.mkdir()
    decode.mkdir()
    (graph / "words.txt").write_text(WORDS)
    (decode / "summary.json").write_text('{"acoustic_scale": 0.5, "graph": "../graph"}')
    with gzip.open(decode / "lat.1.gz", "wt") as file:
        file.write(LATTICES)
    return decode


@pytest.mark.parametrize("archive", ["", "lat.1.gz"])
def test_scale_and_words_are_those_of_the_decoding(decoded, capsys, archive):
    assert main(["lattice-to-nbest", "--n", "1", str(decoded / archive)]) == 0
    assert rows(capsys)[0]["alternatives"][0]["total_cost"] == 1.5 + 36 / 2
    assert main(["lattice-to-nbest", "--n", "1", "--acoustic-scale", "1", str(decoded / archive),
                 str(decoded.parent / "graph")]) == 0
    assert rows(capsys)[0]["alternatives"][0]["total_cost"] == 37.5


def test_best_path_under_scales(files, decoded, capsys):
    # open door: 1.5 + 36 a, close door: 2 + 36 a.
    assert main(["lattice-best-path", files[0], files[1]]) == 0
    assert capsys.readouterr().out == "u1 open door\nu2 door\n"
    assert main(["lattice-best-path", "--lm-scale", "0", "--word-ins-penalty", "-3",
                 str(decoded)]) == 0
    assert capsys.readouterr().out == "u1 open door\nu2 door\n"
    assert main(["lattice-best-path", "--acoustic-scale", "-1", str(decoded)]) == 1
    assert "acoustic-scale is -1.0; give a number from 0" in capsys.readouterr().err


def copy(out, verb, *options):
    assert main([verb, *map(str, options), str(out)]) == 0
    return dict(read_lattices(out))


def test_copies(files, decoded, tmp_path):
    out = tmp_path / "out.gz"
    plain = dict(read_lattices(files[0]))
    for source in (files[0], decoded):
        assert [one.graph.tolist() for one in copy(out, "lattice-copy", source).values()] == [
            one.graph.tolist() for one in plain.values()]
    assert gzip.decompress(out.read_bytes()).startswith(b"u1 \n0\t1\t1\t1,12,4_4\n")
    first = copy(out, "lattice-scale", "--acoustic-scale", 2, "--lm-scale", 3, files[0])["u1"]
    assert (first.graph.tolist(), first.acoustic.tolist()) == ([3, 4.5, 1.5], [24, 24, 48])
    assert first.final_graph.tolist()[-1] == 0
    first = copy(out, "lattice-add-penalty", "--word-ins-penalty", -0.5, files[0])["u1"]
    assert first.graph.tolist() == [0.5, 1.0, 0.0]
    first = copy(out, "lattice-prune", "--beam", 0.4, files[0])["u1"]
    assert first.word.tolist() == [1, 3]
    assert copy(out, "lattice-prune", "--beam", 0.6, decoded)["u1"].num_arcs == 3
    first = copy(out, "lattice-1best", decoded)["u1"]
    assert (first.word.tolist(), first.graph.tolist(), first.strings[0].tolist()) == (
        [1, 3], [1.0, 0.5], [4, 4])


def test_depth(files, capsys):
    assert main(["lattice-depth", files[0]]) == 0
    # u1: arcs of 2, 2 and 2 frames over 4 frames; u2: one frame.
    assert json.loads(capsys.readouterr().out) == {
        "lattices": 2, "frames": 5, "states": 5, "arcs": 4, "arcs_per_frame": 0.8, "depth": 1.4}


def test_ctm_without_a_model(files, decoded, tmp_path, capsys):
    ctm, lattices = tmp_path / "out.ctm", str(decoded)
    assert main(["lattice-to-ctm-conf", lattices, str(ctm)]) == 0
    error = capsys.readouterr().err
    assert "does not say with which model it was made" in error
    assert ctm.read_text() == ("u1 1 0.00 0.02 open 0.62\nu1 1 0.02 0.02 door 1.00\n"
                               "u2 1 0.00 0.01 door 1.00\n")
    (tmp_path / "text").write_text("u1 open\nu2 door\n")
    (tmp_path / "wav.scp").write_text("call call.wav\n")
    (tmp_path / "utt2spk").write_text("u1 s\nu2 s\n")
    (tmp_path / "segments").write_text("u1 call 1.5 2\nu2 call 3 4\n")
    assert main(["lattice-to-ctm-conf", "--data", str(tmp_path), "--frame-shift", "0.02",
                 "--decode-mbr", "false", lattices, str(ctm)]) == 0
    assert ctm.read_text().splitlines()[0] == "call 1 1.50 0.04 open 0.62"


@pytest.mark.parametrize(("words", "reason"), [
    (["lattice-scale", "LAT", "out"], "nothing to scale by; give --acoustic-scale or --lm-scale"),
    (["lattice-prune", "--beam", "-1", "LAT", "out"], "beam is -1.0; give a number from 0"),
    (["lattice-prune", "--acoustic-scale", "nan", "LAT", "out"], "acoustic-scale is nan"),
    (["lattice-copy", "EMPTY", "out"], "empty: holds no lattice; decode with"),
    (["lattice-copy", "FOLDER", "out"], "folder: holds no lattice; decode with"),
    (["lattice-to-nbest", "LAT"], "does not say which graph it was decoded with; give words.txt"),
    (["lattice-mbr-decode", "--frame-shift", "0", "LAT", "WORDS"], "frame-shift is 0.0"),
    (["lattice-depth", "EMPTY"], "empty: holds no lattice"),
])
def test_refusals(files, tmp_path, capsys, words, reason):
    (tmp_path / "empty").write_text("")
    (tmp_path / "folder").mkdir()
    places = {"LAT": files[0], "WORDS": files[1], "EMPTY": str(tmp_path / "empty"),
              "FOLDER": str(tmp_path / "folder"), "out": str(tmp_path / "out")}
    assert main([places.get(word, word) for word in words]) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert reason in error[0]
    assert not (tmp_path / "out").exists()

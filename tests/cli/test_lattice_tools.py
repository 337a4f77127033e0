"""The verbs of lattices, run in this process."""

import json

import pytest

from hybridasr.cli import main

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

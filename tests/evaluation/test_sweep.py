"""Scores over lattices: each wer_N_P by hand, the best, and what is refused."""

import gzip
import json

import pytest

from hybridasr.cli import main

WORDS = "<eps> 0\n打开 1\n空调 2\n开 3\n<UNK> 4\n#0 5\n"
# At LMWT 10: 打开 空调 1 + 20/10 = 3, 开 2.9; from LMWT 12 the other way round. A penalty of 1 is
# one more for two words.
LATTICES = """u1\x20
0\t1\t1\t0.5,16,1_1
1\t2\t2\t0.5,4,2
0\t2\t3\t2.5,4,3_3_3
2

u2\x20
0\t1\t1\t0,3,1_1_1
1

"""
SAID = "u1 打开 空调\nu2 打开\nu3 空调\n"


@pytest.fixture
def place(tmp_path):
    """A data directory, a decode directory with lattices, and the graph of its record."""
    data, decode, graph = (tmp_path / name for name in ("data", "exp/decode", "exp/graph"))
    for folder in (data, decode, graph):
        folder.mkdir(parents=True)
    (data / "text").write_text(SAID, encoding="utf-8")
    (data / "wav.scp").write_text("".join(f"u{n} u{n}.wav\n" for n in (1, 2, 3)))
    (data / "utt2spk").write_text("u1 a\nu2 a\nu3 b\n")
    (graph / "words.txt").write_text(WORDS, encoding="utf-8")
    (decode / "text").write_text("u1 开\nu2 打开\nu3\n", encoding="utf-8")
    put(decode, LATTICES)
    (decode / "summary.json").write_text(json.dumps({"acoustic_scale": 0.1, "graph": "../graph"}))
    return data, decode


def put(decode, text):
    with gzip.open(decode / "lat.1.gz", "wt") as file:
        file.write(text)


def score(*words):
    return main(["score", *map(str, words)])


def test_every_scale_by_hand(place, capsys):
    data, decode = place
    assert score("--min-lmwt", 9, "--max-lmwt", 14, "--word-ins-penalty", "0.0,1.0", data,
                 decode) == 0
    # 1 + 20/L < 2.5 + 4/L from L > 10.67; with a penalty of 1 a word from L > 32.
    right = "%WER 25.00 [ 1 / 4, 0 ins, 1 del, 0 sub ]"
    wrong = "%WER 75.00 [ 3 / 4, 0 ins, 2 del, 1 sub ]"
    for lmwt in range(9, 15):
        for penalty in ("0.0", "1.0"):
            line = (decode / f"wer_{lmwt}_{penalty}").read_text().splitlines()[0]
            assert line == (right if lmwt > 10 and penalty == "0.0" else wrong), (lmwt, penalty)
    scoring = decode / "scoring_kaldi"
    assert (scoring / "best_wer").read_text() == f"{right} {decode}/wer_11_0.0\n"
    assert [(scoring / "wer_details" / name).read_text() for name in ("lmwt", "wip")] == [
        "11\n", "0.0\n"]
    # Characters of 打开 空调, 打开, 空调: with 开 three and 空调 two are lost, otherwise two.
    assert (decode / "cer_10_0.0").read_text().startswith(
        "%WER 62.50 [ 5 / 8, 0 ins, 5 del, 0 sub ]\n")
    best_cer = f"%WER 25.00 [ 2 / 8, 0 ins, 2 del, 0 sub ] {decode}/cer_11_0.0"
    assert (scoring / "best_cer").read_text() == best_cer + "\n"
    assert [(scoring / "cer_details" / name).read_text() for name in ("lmwt", "wip")] == [
        "11\n", "0.0\n"]
    assert "u1 ref 打 开 空 调" in (scoring / "cer_details" / "per_utt").read_text("utf-8").replace(
        "  ", " ")
    assert capsys.readouterr().out.splitlines() == [
        f"{right} {decode}/wer_11_0.0", "%SER 33.33 [ 1 / 3 ]",
        "Scored 3 sentences, 0 not present in hyp.", best_cer]
    assert (scoring / "penalty_1.0" / "14.txt").read_text(encoding="utf-8") == (
        "u1 开\nu2 打开\nu3\n")
    assert (scoring / "penalty_0.0" / "11.txt").read_text(encoding="utf-8").startswith(
        "u1 打开 空调\n")
    assert (scoring / "test_filt.txt").read_text(encoding="utf-8") == SAID
    # The figures of text itself stay beside them.
    assert (decode / "wer").read_text().startswith(wrong)
    assert (scoring / "wer_details" / "per_spk").read_text().splitlines()[1].split()[2:4] == [
        "2", "3"]


def test_defaults_are_kaldis(place):
    data, decode = place
    assert score(data, decode) == 0
    assert {path.name for path in decode.glob("wer_*")} == {
        f"wer_{lmwt}_{penalty}" for lmwt in range(7, 18) for penalty in ("0.0", "0.5", "1.0")}
    # A narrower sweep leaves no file of the wider one.
    assert score("--min-lmwt", 17, "--word-ins-penalty", "0", data, decode) == 0
    assert {path.name for path in decode.glob("wer_*")} == {"wer_17_0"}
    assert [path.name for path in (decode / "scoring_kaldi").glob("penalty_*")] == ["penalty_0"]


def test_without_lattices_only_the_text_is_scored(place, capsys):
    data, decode = place
    assert score(data, decode) == 0
    (decode / "lat.1.gz").unlink()
    capsys.readouterr()
    assert score(data, decode) == 0
    assert capsys.readouterr().out.startswith("%WER 75.00 [ 3 / 4, 0 ins, 2 del, 1 sub ]\n%SER")
    scoring = decode / "scoring_kaldi"
    assert (scoring / "best_wer").read_text().endswith(f" {decode}/wer\n")
    assert list(decode.glob("?er_*")) == list(scoring.glob("penalty_*")) == []
    assert not (scoring / "wer_details" / "lmwt").exists()
    assert score("--min-lmwt", 5, data, decode) == 1
    assert "--min-lmwt has no effect on" in capsys.readouterr().err
    assert score(data, decode.parent / "graph", decode) == 1
    assert "has no lattices" in capsys.readouterr().err


def test_lattices_without_text_and_record(place, capsys):
    """As somebody brings them from Kaldi: lat.1.gz and lat.2.gz alone."""
    data, decode = place
    first, second = LATTICES.split("u2 \n")
    put(decode, first)
    (decode / "lat.1.gz").rename(decode / "lat.2.gz")
    put(decode, "u2 \n" + second)
    for name in ("text", "summary.json"):
        (decode / name).unlink()
    assert score(data, decode) == 1
    assert "does not say which graph it was decoded with" in capsys.readouterr().err
    for table in (decode.parent / "graph", decode.parent / "graph" / "words.txt"):
        assert score("--min-lmwt", 12, data, table, decode) == 0
        assert (decode / "scoring_kaldi/best_wer").read_text() == (
            f"%WER 25.00 [ 1 / 4, 0 ins, 1 del, 0 sub ] [PARTIAL] {decode}/wer_12_0.0\n")


def error(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(("change", "reason"), [
    (lambda decode: put(decode, ""), "decode: holds no lattice; decode with --write-lattices"),
    (lambda decode: put(decode, LATTICES[:LATTICES.index("u2")]), "no lattice of 'u2', of which"),
    (lambda decode: put(decode, LATTICES + LATTICES), "has the lattice of 'u1', which is there"),
    (lambda decode: put(decode, LATTICES[:-4]), "lat.1.gz:8: ends within a line"),
    (lambda decode: (decode / "lat.1.gz").write_bytes((decode / "lat.1.gz").read_bytes()[:-9]),
     "lat.1.gz: cannot be read"),
    (lambda decode: put(decode, LATTICES.replace("\t3\t2.5", "\t77\t2.5")),
     "lat.1.gz:4: lattice of 'u1': word 77 is not in the table of words"),
    (lambda decode: (decode / "summary.json").write_text('{"graph": "../graph", "words": "x"}'),
     "graph/words.txt: is not the table of words that"),
    (lambda decode: (decode / "summary.json").write_text('{"acoustic_scale": -1}'),
     "summary.json: has the acoustic_scale -1"),
    (lambda decode: (decode / "summary.json").write_text('{"graph": "../graf"}'),
     "graf/words.txt: no such file"),
])
def test_faults_in_one_line(place, capsys, change, reason):
    data, decode = place
    change(decode)
    assert score(data, decode) == 1
    assert reason in error(capsys)


@pytest.mark.parametrize(("options", "reason"), [
    (["--min-lmwt", "9", "--max-lmwt", "8"], "min-lmwt 9 and max-lmwt 8 are no range"),
    (["--min-lmwt", "0"], "give whole numbers from 1"),
    (["--word-ins-penalty", "0.0;1.0"], "word-ins-penalty is '0.0;1.0'; give numbers with commas"),
    (["--word-ins-penalty", "nan"], "word-ins-penalty is 'nan'"),
])
def test_sweeps_that_are_none(place, capsys, options, reason):
    assert score(*options, *place) == 1
    assert reason in error(capsys)


def test_alignments_as_sclite_has_them(place):
    data, decode = place
    (decode / "lat.1.gz").unlink()
    (decode / "text").write_text("u1 开 打开 <UNK>\nu2 打开\n", encoding="utf-8")
    assert score(data, decode) == 0
    assert (decode / "scoring_kaldi/wer_details/alignments.pra").read_text(encoding="utf-8") == (
        "id: (a-u1)\nScores: (#C #S #D #I) 1 1 0 1\n"
        "REF:  *** 打开 空调 \nHYP:  开  打开 <UNK>\nEval: I        S    \n\n"
        "id: (a-u2)\nScores: (#C #S #D #I) 1 0 0 0\nREF:  打开\nHYP:  打开\nEval:     \n\n"
        "id: (b-u3)\nScores: (#C #S #D #I) 0 0 1 0\nREF:  空调\nHYP:  *** \nEval: D   \n")
    # <UNK> is one character: 打开空调 against 开打开<UNK>.
    assert (decode / "cer").read_text().startswith(
        "%WER 62.50 [ 5 / 8, 1 ins, 3 del, 1 sub ] [PARTIAL]\n")

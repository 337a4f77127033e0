"""Readers of corpora of sentences, on small copies of each publisher's layout, and on real ones."""

import pytest
from test_readers import check_sets, ids, make, words

from hybridasr.corpus.readers import READERS, detect_reader, missing_corpus_message
from hybridasr.errors import UserError

HEADER = "client_id\tpath\tsentence\tup_votes\tage\n"


def common_voice(root, **tables):
    make(root, *(f"clips/{name}.mp3" for name in ("c1", "c2", "c3", "c4", "c5")))
    for name, rows in tables.items():
        (root / f"{name}.tsv").write_text(HEADER + "".join(
            f"{speaker}\t{path}\t{sentence}\t2\t\n" for speaker, path, sentence in rows))
    return root


def test_common_voice(tmp_path, caplog):
    long = "0123456789abcdef" * 8
    common_voice(tmp_path, train=[(long, "c1.mp3", '他说："你好！"'), (long, "c2.mp3", "去USA。"),
                                  ("b", "c9.mp3", "没有录音"), ("b", "c3.mp3", "……")],
                 test=[("c", "c4.mp3", "再见，朋友")])
    sets = READERS["common_voice"].read(tmp_path)
    check_sets(sets)
    assert ids(sets) == {"train": ["0123456789ab-c1", "0123456789ab-c2"], "test": ["c-c4"]}
    assert words(sets["train"]) == ["他说 你好", "去 usa"]
    assert words(sets["test"]) == ["再见 朋友"]
    assert "2 of 4 recordings left out" in caplog.text
    assert detect_reader(tmp_path).name == "common_voice"


@pytest.mark.parametrize(("text", "message"), [
    ("client_id\tsentence\nx\ty\n", "no column 'path' in its first line"),
    ("", "no column 'client_id'"),
    (HEADER + "x\tc1.mp3\t\t2\t\n", "a client_id, a path or a sentence is missing"),
])
def test_common_voice_names_the_faulty_line(tmp_path, text, message):
    common_voice(tmp_path, train=[("a", "c1.mp3", "好")], test=[])
    (tmp_path / "test.tsv").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        READERS["common_voice"].read(tmp_path)
    assert "test.tsv" in str(caught.value)


def test_thchs30(tmp_path):
    root = tmp_path / "data_thchs30"
    for name, part in (("A11_0", "train"), ("A11_12", "train"), ("B2_1", "dev"), ("D4_7", "test")):
        make(root, f"data/{name}.wav", f"{part}/{name}.wav")
        (root / "data" / f"{name}.wav.trn").write_text(
            "绿 是 阳春 烟景\nlv4 shi4 yang2 chun1\nl v4 sh ix4\n")
        (root / part / f"{name}.wav.trn").write_text(f"../data/{name}.wav.trn\n")
    for place in (tmp_path, root):
        sets = READERS["thchs30"].read(place)
        check_sets(sets)
        assert ids(sets) == {"train": ["A11_0", "A11_12"], "dev": ["B2_1"], "test": ["D4_7"]}
        assert {u.speaker for u in sets["train"]} == {"A11"}
        assert words(sets["test"]) == ["绿 是 阳春 烟景"]
        assert detect_reader(place).name == "thchs30"
    (root / "data" / "D4_7.wav.trn").unlink()
    with pytest.raises(UserError, match="no transcript D4_7.wav.trn"):
        READERS["thchs30"].read(root)


def test_aishell(tmp_path, caplog):
    root = tmp_path / "data_aishell"
    for name in ("train/S0002/BAC009S0002W0122", "train/S0002/BAC009S0002W0123",
                 "test/S0764/BAC009S0764W0121"):
        make(root, f"wav/{name}.wav")
    table = root / "transcript" / "aishell_transcript_v0.8.txt"
    table.parent.mkdir()
    table.write_text("BAC009S0002W0122 而 对 楼市\nBAC009S0764W0121 甚至 出现\n")
    sets = READERS["aishell"].read(tmp_path)
    check_sets(sets)
    assert ids(sets) == {"train": ["S0002-BAC009S0002W0122"], "test": ["S0764-BAC009S0764W0121"]}
    assert words(sets["train"]) == ["而 对 楼市"]
    assert "1 recordings without a transcript left out" in caplog.text
    assert detect_reader(root).name == "aishell"
    for file in (root / "wav" / "test").rglob("*.wav"):
        file.unlink()
    (root / "wav" / "test" / "S0764").rmdir()
    (root / "wav" / "test").rmdir()
    with pytest.raises(UserError, match="no folder wav/test.*must be unpacked"):
        READERS["aishell"].read(root)


def test_ljspeech(tmp_path, caplog):
    names = [f"LJ0{part:02d}-{number:04d}" for part in (1, 2) for number in range(1, 12)]
    make(tmp_path, *(f"wavs/{name}.wav" for name in names))
    (tmp_path / "metadata.csv").write_text("".join(
        f"{name}|Dr. No.|Doctor No, he said.\n" for name in [*names, "LJ099-0001"]))
    sets = READERS["ljspeech"].read(tmp_path)
    check_sets({"test": sets["test"]})
    assert (len(sets["train"]), len(sets["test"])) == (19, 3)
    assert words(sets["test"][:1]) == ["doctor no he said"]
    assert {u.speaker for u in sets["train"]} == {"LJ001", "LJ002"}
    assert "1 of 23 sentences have no recording" in caplog.text
    assert detect_reader(tmp_path).name == "ljspeech"
    (tmp_path / "metadata.csv").write_text("LJ001-0001|only two\n")
    with pytest.raises(UserError, match="2 columns"):
        READERS["ljspeech"].read(tmp_path)


@pytest.mark.parametrize("name", ["common_voice", "thchs30", "aishell", "ljspeech"])
def test_where_to_get_them(tmp_path, name):
    message = missing_corpus_message(name)
    assert READERS[name].address in message
    assert "--download" not in message
    assert "GB" in message
    with pytest.raises(UserError, match="expected is"):
        READERS[name].read(tmp_path)


@pytest.mark.realdata
def test_real_sentences(data_root):
    sets = READERS["common_voice"].read(data_root / "common_voice_zh")
    check_sets(sets)
    assert (len(sets["train"]), len(sets["test"])) == (3999, 334)
    assert [len({u.speaker for u in sets[name]}) for name in ("train", "test")] == [141, 50]
    assert detect_reader(data_root / "common_voice_zh").name == "common_voice"
    sets = READERS["ljspeech"].read(data_root / "ljspeech")
    assert len(sets["train"]) + len(sets["test"]) == 385

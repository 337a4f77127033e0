"""Data directories: round trips with Kaldi's files, splits, subsets, unions, refusals."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridasr.corpus.datadir import (
    DataDir,
    Utterance,
    combine,
    copy_datadir,
    read_datadir,
    split_by_speaker,
    split_datadir,
    subset,
    utt2dur,
    write_datadir,
)
from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError

KALDI = {
    "wav.scp": "call1 sox 'a b.sph' -t wav - |\ncall2 /audio/two words.wav\n",
    "text": "anna-1 打开 空调\nanna-2\nbert-1 stop\n",
    "utt2spk": "anna-1 anna\nanna-2 anna\nbert-1 bert\n",
    "spk2utt": "anna anna-1 anna-2\nbert bert-1\n",
    "segments": "anna-1 call1 0.5 1.25\nanna-2 call1 2.0 -1\nbert-1 call2 0.0 3.0\n",
    "utt2dur": "anna-1 0.75\nanna-2 4.5\nbert-1 3.0\n",
    "spk2gender": "anna f\nbert m\n",
    "cmvn.scp": "anna cmvn.ark:5\nbert cmvn.ark:99\n",
    "reco2dur": "call1 6.5\ncall2 3.1\n",
}


def write_files(path, files):
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def speech(speaker, number, words=("a",), **more):
    name = f"{speaker}-{number}"
    return Utterance(name, speaker, words, name, f"/x/{name}.wav", **more)


def a_set(counts, path="/sets/a"):
    """A set in memory: number of utterances of each speaker."""
    listed = [speech(s, f"{n:03d}") for s, count in counts.items() for n in range(count)]
    listed.sort(key=lambda u: u.utterance.encode())
    tables = {"utt2dur": {u.utterance: str(1 + i % 7) for i, u in enumerate(listed)},
              "spk2gender": dict.fromkeys(counts, "f")}
    return DataDir(Path(path), {u.utterance: u for u in listed}, tables)


def test_read_then_write_gives_kaldis_files(tmp_path):
    data = read_datadir(write_files(tmp_path / "a", KALDI))
    assert data.utterances["anna-1"] == Utterance(
        "anna-1", "anna", ("打开", "空调"), "call1", "sox 'a b.sph' -t wav - |", 0.5, 1.25)
    assert data.utterances["anna-2"].words == ()
    assert data.utterances["anna-2"].end is None
    assert data.utterances["bert-1"].wav == "/audio/two words.wav"
    copy_datadir(data, tmp_path / "b")
    written = {p.name: p.read_text(encoding="utf-8") for p in (tmp_path / "b").iterdir()}
    assert written == KALDI
    assert read_datadir(tmp_path / "b") == replace(data, path=tmp_path / "b")


def test_unsorted_windows_files_are_read_and_written_sorted_by_bytes(tmp_path):
    # In a locale, 'a' < 'B' < 'ä'; by bytes 'B' < 'a' < '中' < '𠮷'.
    keys = ["a-1", "𠮷-1", "B-1", "中-1", "a1"]
    lines = "".join(f"{k} {k}\r\n" for k in keys)
    path = write_files(tmp_path, {"wav.scp": lines, "utt2spk": lines, "text": lines})
    data = read_datadir(path)
    assert list(data.utterances) == ["B-1", "a-1", "a1", "中-1", "𠮷-1"]
    write_datadir(tmp_path / "out", data.utterances.values())
    assert (tmp_path / "out/text").read_bytes().splitlines() == sorted(
        f"{k} {k}".encode() for k in keys)


def test_relative_paths_count_from_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_datadir("set", [replace(speech("s", 1), wav="some dir/x.wav")])
    assert data.utterances["s-1"].wav == str(tmp_path / "some dir/x.wav")
    assert (tmp_path / "set/wav.scp").read_text() == f"s-1 {tmp_path}/some dir/x.wav\n"
    (tmp_path / "set/wav.scp").write_text("s-1 some dir/x.wav\n")
    assert read_datadir("set").utterances["s-1"].wav == "some dir/x.wav"


def test_whole_recordings_need_no_segments(tmp_path):
    write_datadir(tmp_path, [speech("s", 1), speech("s", 2, start=0.5)])
    assert (tmp_path / "segments").read_text() == "s-1 s-1 0.0 -1\ns-2 s-2 0.5 -1\n"
    write_datadir(tmp_path, [speech("s", 1), speech("s", 2)])
    assert not (tmp_path / "segments").exists()


def test_sets_of_features_without_recordings_can_be_read(tmp_path):
    files = {"utt2spk": "a a\nb b\n", "feats.scp": "a f.ark:2\nb f.ark:99\n"}
    data = read_datadir(write_files(tmp_path, files), need_text=False)
    assert [u.wav for u in data.utterances.values()] == ["", ""]
    assert data.utterances["a"].words == ()
    assert data.tables["feats.scp"]["b"] == "f.ark:99"
    copy_datadir(data, tmp_path / "copy")
    assert not (tmp_path / "copy/wav.scp").exists()


def test_new_recordings_make_old_features_stale(tmp_path):
    write_datadir(tmp_path, [speech("s", 1)])
    files = {"feats.scp": "s-1 f.ark:4\n", "feature.json": "{}", "frame_shift": "0.01\n"}
    write_files(tmp_path, files)
    write_datadir(tmp_path, [speech("s", 1, words=("other",))])
    assert all((tmp_path / name).exists() for name in files)
    write_datadir(tmp_path, [speech("s", 1), speech("s", 2)])
    assert not any((tmp_path / name).exists() for name in files)


def test_features_travel_with_a_copy(tmp_path):
    write_datadir(tmp_path / "a", [speech("s", 1), speech("t", 1)])
    write_files(tmp_path / "a", {"feats.scp": "s-1 f.ark:4\nt-1 f.ark:9\n", "feature.json": "{}",
                                 "frame_shift": "0.01\n"})
    part = subset(read_datadir(tmp_path / "a"), speakers=["t"])
    copy_datadir(part, tmp_path / "b")
    assert (tmp_path / "b/feats.scp").read_text() == "t-1 f.ark:9\n"
    assert (tmp_path / "b/feature.json").read_text() == "{}"
    assert (tmp_path / "b/frame_shift").read_text() == "0.01\n"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("utt2spk", None, r"utt2spk: no such file; make it"),
    ("wav.scp", None, r"wav.scp: no such file; make it"),
    ("text", None, r"text: no such file; make it"),
    ("utt2spk", "", r"utt2spk: is empty; give one"),
    ("utt2spk", "a s\nb s t\n", r"utt2spk:2: 'b' has 3 fields, 2 expected; mend it, or run"),
    ("utt2spk", "a s\n\nb s\n", r"utt2spk:2: empty line; mend it, or run 'hybridasr fix-data"),
    ("text", "a x\nb y\nc z\n", r"text:3: utterance 'c' has no entry in utt2spk; add it, or run"),
    ("text", "a x\n", r"utt2spk:2: utterance 'b' has no entry in text; add it, or run"),
    ("text", "a x\nb y\na z\n", r"text:3: 'a' is in line 1 already; remove one"),
    ("wav.scp", "a /a.wav\nb\n", r"wav.scp:2: 'b' has no value"),
    ("wav.scp", "a /a.wav\n", r"utt2spk:2: utterance 'b' has no entry in wav.scp; add it"),
    ("segments", "a r 0 1\nb r 1 2\n", r"segments:1: utterance 'a' is part of recording 'r', wh"),
    ("segments", "a a 0 1\nb b 2 1\n", r"segments:2: 'b' is from 2 to 1 s; the end must come"),
    ("segments", "a a 0 1\nb b -1 1\n", r"segments:2: 'b' is from -1 to 1 s"),
    ("segments", "a a 0 1\nb b x 1\n", r"segments:2: 'b' is from 'x' to '1'; give both in sec"),
    ("segments", "a a 0 1\nb b nan 1\n", r"segments:2: 'b' is from nan to 1 s"),
    ("segments", "a a 0 1\nb b 1\n", r"segments:2: 'b' has 3 fields, 4 expected"),
    ("text", b"a x\nb \xc4\xe3\n", r"text:2: byte 0xc4 is not UTF-8; save the file as UTF-8"),
])
def test_reading_refuses_what_is_ambiguous(tmp_path, name, text, message):
    files = {"wav.scp": "a /a.wav\nb /b.wav\n", "utt2spk": "a s\nb s\n", "text": "a x\nb y\n"}
    write_files(tmp_path, files)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_datadir(tmp_path)


def test_reading_nothing(tmp_path):
    with pytest.raises(UserError, match="nope: no such data directory; check the path"):
        read_datadir(tmp_path / "nope")


@pytest.mark.parametrize(("utterances", "message"), [
    ([], "no utterances to write"),
    ([speech("s", 1), speech("s", 1)], "utterance 's-1' comes twice"),
    ([speech("s t", 1)], "utterance 's t-1' of utterance 's t-1' is empty or has white space"),
    ([replace(speech("s", 1), speaker="")], "speaker '' of utterance 's-1' is empty"),
    ([speech("s", 1, words=("a　b",))], r"word 'a\\u3000b' of utterance 's-1' is empty or has wh"),
    ([speech("s", 1), replace(speech("s", 2), recording="s-1")], "recording 's-1' is both /x/s-1"),
])
def test_writing_refuses_what_cannot_be_read_back(tmp_path, utterances, message):
    with pytest.raises(UserError, match=message):
        write_datadir(tmp_path / "new", utterances)
    assert not (tmp_path / "new").exists()


IDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(IDS, st.tuples(IDS, st.lists(IDS, max_size=3), IDS,
                                      st.floats(0, 1e5), st.one_of(st.none(), st.floats(0.01, 9))),
                       min_size=1, max_size=8))
def test_whatever_can_be_written_is_read_back(tmp_path, drawn):
    listed = [Utterance(key, speaker, tuple(map(normalize_text, words)), recording,
                        f"/d/{recording.replace('/', '')} x.wav", start,
                        None if length is None else start + length)
              for key, (speaker, words, recording, start, length) in drawn.items()]
    written = write_datadir(tmp_path, listed)
    assert read_datadir(tmp_path) == written
    assert sorted(written.utterances.values(), key=lambda u: u.utterance) == sorted(
        listed, key=lambda u: u.utterance)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 12), min_size=1),
       st.integers(1, 6), st.booleans())
def test_splits_lose_nothing_and_are_balanced(counts, parts, by_utterance):
    data = a_set(counts)
    most = len(data) if by_utterance else len(counts)
    if parts > most:
        with pytest.raises(UserError, match=f"cannot split {most} .* into {parts} parts; give 1"):
            split_by_speaker(data, parts, by_utterance)
        return
    split = split_by_speaker(data, parts, by_utterance)
    assert len(split) == parts
    together = [u for part in split for u in part.utterances]
    assert sorted(together) == sorted(data.utterances)
    sizes = [len(part) for part in split]
    if by_utterance:
        assert max(sizes) - min(sizes) <= 1
    else:
        speakers = [s for part in split for s in part.speakers]
        assert sorted(speakers) == sorted(counts)
        # Moving any speaker from the largest to the smallest part would not make it smaller.
        largest = max(split, key=len)
        assert min(sizes) + min(counts[s] for s in largest.speakers) >= max(sizes)
    for part in split:
        assert list(part.utterances) == sorted(part.utterances)
        assert list(part.tables["utt2dur"]) == list(part.utterances)
        assert set(part.tables["spk2gender"]) == set(part.speakers)


def test_split_into_nothing():
    with pytest.raises(UserError, match="cannot split 1 speakers into 0 parts; give 1 to 1"):
        split_by_speaker(a_set({"a": 2}), 0)
    with pytest.raises(UserError, match="give 1 to 1, or split by utterance"):
        split_by_speaker(a_set({"a": 2}), 2)


def test_split_writes_kaldis_layout(tmp_path):
    data = copy_datadir(a_set({"a": 3, "b": 2, "c": 1}), tmp_path)
    split_datadir(data, 2)
    assert list(read_datadir(tmp_path / "split2/1").speakers) == ["a"]
    assert list(read_datadir(tmp_path / "split2/2").speakers) == ["b", "c"]


def test_subsets():
    data = a_set({"a": 5, "b": 3, "c": 1})
    assert list(subset(data, first=2).utterances) == ["a-000", "a-001"]
    assert list(subset(data, speakers=["b"], per_speaker=2).utterances) == ["b-000", "b-001"]
    assert list(subset(data, utterances=["c-000", "a-004"]).utterances) == ["a-004", "c-000"]
    assert len(subset(data, per_speaker=1)) == 3
    shortest = subset(data, shortest=3)
    assert sorted(utt2dur(shortest).values()) == sorted(utt2dur(data).values())[:3]
    draws = {tuple(subset(data, random=4, seed=seed).utterances) for seed in range(5)}
    assert len(draws) > 1
    assert {len(set(draw)) for draw in draws} == {4}
    assert subset(data, random=4, seed=1) == subset(data, random=4, seed=1)
    assert set(subset(data, speakers=["c"]).tables["spk2gender"]) == {"c"}


@pytest.mark.parametrize(("choice", "message"), [
    ({"utterances": ["a-000", "zz"]}, "utterance 'zz' is not in the set"),
    ({"speakers": ["z"]}, "speaker 'z' is not in the set"),
    ({"first": 3}, r"asked for 3 of 2 utterances \(first\); give 1 to 2"),
    ({"random": 0}, r"asked for 0 of 2 utterances \(random\)"),
])
def test_impossible_subsets(choice, message):
    with pytest.raises(UserError, match=message):
        subset(a_set({"a": 2}), **choice)


def test_combine(tmp_path):
    one, two = a_set({"a": 2}, "/sets/one"), a_set({"b": 1}, "/sets/two")
    del two.tables["spk2gender"]
    both = combine([one, two], tmp_path)
    assert list(both.utterances) == ["a-000", "a-001", "b-000"]
    assert set(both.tables) == {"utt2dur"}
    assert list(both.tables["utt2dur"]) == list(both.utterances)
    assert read_datadir(tmp_path) == both
    with pytest.raises(UserError, match="^/sets/one: utterance 'a-000' is in /sets/one too"):
        combine([one, two, one], tmp_path)


def test_combine_features(tmp_path, caplog):
    sets = []
    for name in "ab":
        write_datadir(tmp_path / name, [speech(name, 1)])
        write_files(tmp_path / name, {"feats.scp": f"{name}-1 f.ark:4\n", "feature.json": "{}"})
        sets.append(read_datadir(tmp_path / name))
    combine(sets, tmp_path / "both")
    assert (tmp_path / "both/feats.scp").read_text() == "a-1 f.ark:4\nb-1 f.ark:4\n"
    assert (tmp_path / "both/feature.json").read_text() == "{}"
    (tmp_path / "b/feature.json").write_text("{1}")
    both = combine(sets, tmp_path / "both2")
    assert both.tables == {}
    assert "features of different kinds" in caplog.text
    assert not (tmp_path / "both2/feature.json").exists()


def test_a_set_without_text_stays_without(tmp_path):
    write_datadir(tmp_path / "a", [speech("s", 1, words=())])
    assert (tmp_path / "a/text").read_text() == "s-1\n"
    copy_datadir(read_datadir(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "b/text").read_text() == "s-1\n"
    (tmp_path / "a/text").unlink()
    copy_datadir(read_datadir(tmp_path / "a", need_text=False), tmp_path / "b")
    assert not (tmp_path / "b/text").exists()


def test_combine_refuses_two_meanings_of_one_id(tmp_path, caplog):
    def segment(name, wav, table, value):
        utterance = Utterance(name, "s", (), "r", wav, 0.0, 1.0)
        return DataDir(Path(f"/sets/{name}"), {name: utterance}, {table: {"s": value}})

    with pytest.raises(UserError, match="recording 'r' is /2.wav here and /1.wav in /sets/a"):
        combine([segment("a", "/1.wav", "x", ""), segment("b", "/2.wav", "x", "")], tmp_path)
    with pytest.raises(UserError, match="spk2gender: 's' is 'm' here and 'f' in another set"):
        combine([segment("a", "/1.wav", "spk2gender", "f"),
                 segment("b", "/1.wav", "spk2gender", "m")], tmp_path)
    both = combine([segment("a", "/1.wav", "cmvn.scp", "1"),
                    segment("b", "/1.wav", "cmvn.scp", "2")], tmp_path)
    assert both.tables == {}
    assert "speaker 's' is in several sets; cmvn.scp is left out" in caplog.text


def test_durations_come_from_table_segments_or_audio(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(12000, np.int16), 8000)
    wav = str(tmp_path / "x.wav")
    listed = [Utterance("a", "s", (), "r", wav, 0.25), Utterance("b", "s", (), "r", wav, 0.25, 1.0),
              Utterance("c", "s", (), "r", wav)]
    data = DataDir(tmp_path, {u.utterance: u for u in listed}, {"utt2dur": {"c": "7.5"}})
    assert utt2dur(data) == {"a": 1.25, "b": 0.75, "c": 7.5}
    data.tables["utt2dur"]["a"] = "long"
    with pytest.raises(UserError, match="utt2dur: 'a' lasts 'long'; give seconds"):
        utt2dur(data)


def test_sets_go_to_worker_processes():
    data = a_set({"a": 2})
    assert data.speakers == {"a": ["a-000", "a-001"]}
    assert pickle.loads(pickle.dumps(data)) == data

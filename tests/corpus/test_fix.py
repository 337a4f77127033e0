"""Mending: what can be mended validates afterwards, what was dropped is told and kept aside."""

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.corpus.fix import fix_datadir
from hybridasr.corpus.validate import validate_datadir
from hybridasr.errors import UserError


@pytest.fixture
def good(tmp_path):
    """Two speakers with three utterances each, whole recordings of one second."""
    soundfile.write(tmp_path / "x.wav", np.full(8000, 900, np.int16), 8000)
    listed = [Utterance(f"{s}-{n}", s, ("go", "on"), f"{s}-{n}", str(tmp_path / "x.wav"))
              for s in ("an", "bo") for n in range(3)]
    tables = {"utt2dur": {u.utterance: "1.0" for u in listed}, "spk2gender": {"an": "f", "bo": "m"}}
    write_datadir(tmp_path / "set", listed, tables)
    return tmp_path / "set"


def edit(path, name, old, new):
    data = (path / name).read_bytes()
    old, new = (s if isinstance(s, bytes) else s.encode() for s in (old, new))
    assert old in data
    (path / name).write_bytes(data.replace(old, new))


def snapshot(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_good_directory_stays_as_it_is(good):
    before = snapshot(good)
    summary = fix_datadir(good)
    assert snapshot(good) == before
    assert summary.lines() == [f"{good}: 6 utterances kept, nothing changed"]


def test_everything_at_once(good):
    before = snapshot(good)
    edit(good, "text", "an-0 go on\n", "\ufeffan-0 go　\u200bon\r\n\r\n")
    edit(good, "text", "bo-0 go on", "bo-0 <s> go #1 on </s>")
    lines = (good / "utt2spk").read_text().splitlines()
    (good / "utt2spk").write_text("\n".join(lines[::-1]))
    edit(good, "wav.scp", "an-0 ", "an-0　")
    (good / "spk2utt").unlink()
    assert any(f.severity == "error" for f in validate_datadir(good))
    summary = fix_datadir(good)
    assert validate_datadir(good) == []
    kept = snapshot(good)
    assert {name: kept[name] for name in before} == before
    assert summary.kept == 6
    assert summary.dropped == {"symbols of the grammar removed from text": ["bo-0"]}
    assert set(summary.changed) == {"wav.scp", "text", "utt2spk", "spk2utt"}


@pytest.mark.parametrize(("name", "old", "new", "reason", "lost"), [
    ("text", "an-1 go on\n", "", "utterances without a usable entry in text", "an-1"),
    ("utt2spk", "an-1 an", "an-1 an an", "malformed lines of utt2spk removed", "an-1"),
    ("utt2spk", "an-1 an\n", "", "utterances without a usable entry in utt2spk", "an-1"),
    ("wav.scp", "an-1 ", "an-1 /none", "recordings not on disk", "an-1"),
    ("text", "an-1 go", b"an-1 \xb4\xf2", "lines of text that are not UTF-8 removed", "an-1"),
])
def test_what_cannot_be_mended_is_dropped_everywhere(good, name, old, new, reason, lost):
    edit(good, name, old, new)
    broken = (good / name).read_bytes()
    summary = fix_datadir(good)
    assert summary.dropped[reason] == [lost]
    assert summary.kept == 5
    assert f"{good}: {reason}: 1 ({lost})" in summary.lines()
    assert validate_datadir(good) == []
    assert list(read_datadir(good).utterances) == ["an-0", "an-2", "bo-0", "bo-1", "bo-2"]
    assert (good / "spk2utt").read_text() == "an an-0 an-2\nbo bo-0 bo-1 bo-2\n"
    assert "an-1" not in (good / "utt2dur").read_text()
    kept = good / ".backup" / name if name in summary.changed else good / name
    assert kept.read_bytes() == broken


def test_a_speaker_without_utterances_goes_too(good):
    (good / "text").write_text("an-0 a\nan-1 b\nan-2 c\n")
    fix_datadir(good)
    assert (good / "spk2gender").read_text() == "an f\n"


def test_the_first_of_two_entries_is_kept(good):
    edit(good, "text", "an-1 go on\n", "an-1 first\nan-1 second\n")
    summary = fix_datadir(good)
    assert summary.dropped == {"second entries in text removed": ["an-1"]}
    assert read_datadir(good).utterances["an-1"].words == ("first",)


def test_unusable_recordings(good, tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.int16), 8000)
    (tmp_path / "text.wav").write_text("not audio at all")
    edit(good, "wav.scp", f"an-0 {tmp_path}/x.wav", f"an-0 {tmp_path}/empty.wav")
    edit(good, "wav.scp", f"an-1 {tmp_path}/x.wav", f"an-1 {tmp_path}/text.wav")
    edit(good, "wav.scp", f"an-2 {tmp_path}/x.wav", "an-2 no-such-command |")
    assert fix_datadir(good, check_audio=False).kept == 6
    summary = fix_datadir(good)
    assert summary.dropped["recordings that cannot be read or have no samples"] == ["an-0", "an-1"]
    assert summary.kept == 4


def test_segments(good, tmp_path):
    (good / "wav.scp").write_text(f"r {tmp_path}/x.wav\nunused {tmp_path}/x.wav\n")
    (good / "segments").write_text("an-0 r 0 0.5\nan-1 r 0.5 0.2\nan-2 r 1 2\nbo-0 r 0.9 1.6\n"
                                   "bo-1 none 0 1\nbo-2 r 0.5 -1\n")
    summary = fix_datadir(good)
    assert summary.dropped["segments with impossible times"] == ["an-1"]
    assert summary.dropped["segments beyond the end of their recording"] == ["an-2", "bo-0"]
    assert summary.dropped["segments without a usable recording"] == ["bo-1"]
    assert (good / "segments").read_text() == "an-0 r 0 0.5\nbo-2 r 0.5 -1\n"
    assert (good / "wav.scp").read_text() == f"r {tmp_path}/x.wav\n"
    assert validate_datadir(good) == []


def test_utt2spk_comes_back_from_spk2utt(good):
    before = (good / "utt2spk").read_bytes()
    (good / "utt2spk").unlink()
    assert fix_datadir(good).kept == 6
    assert (good / "utt2spk").read_bytes() == before


def test_backups_are_not_overwritten(good):
    for number in range(2):
        (good / "text").write_text("".join(f"an-{n} {number}\r\n" for n in range(3 - number)))
        fix_datadir(good)
    assert (good / ".backup/text").read_bytes() == b"an-0 0\r\nan-1 0\r\nan-2 0\r\n"
    assert (good / ".backup/text.1").read_bytes() == b"an-0 1\r\nan-1 1\r\n"


def test_nothing_is_changed_if_nothing_would_be_left(good):
    (good / "text").write_text("zo-1 other\n")
    before = snapshot(good)
    with pytest.raises(UserError, match=r"set: no utterance would be left \(utterances without a "
                                        r"usable entry in text: 6; "):
        fix_datadir(good)
    (good / "utt2spk").unlink()
    (good / "spk2utt").write_text("\n")
    with pytest.raises(UserError, match="utt2spk: no such file, or nothing in it; make it"):
        fix_datadir(good)
    assert snapshot(good).keys() == before.keys() - {(good / "utt2spk").relative_to(good)}
    with pytest.raises(UserError, match="no such data directory"):
        fix_datadir(good / "none")

"""Validation: one broken directory for each rule, and the line that is told about it."""

import struct

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.rules import FIELDS, FILES
from hybridasr.corpus.validate import check_datadir, has_errors, validate_datadir
from hybridasr.errors import UserError


def matrix(rows, columns, kind=b"FM "):
    """A binary Kaldi matrix (float, double, or the header of a compressed one)."""
    if kind[:2] == b"CM":
        return b"\0B" + kind + struct.pack("<ffii", 0, 1, rows, columns) + bytes(rows * columns)
    size = 8 if kind == b"DM " else 4
    return b"\0B" + kind + struct.pack("<bibi", 4, rows, 4, columns) + bytes(size * rows * columns)


@pytest.fixture
def good(tmp_path):
    """A data directory with every kind of file and nothing wrong."""
    audio = tmp_path / "audio"
    audio.mkdir()
    soundfile.write(audio / "a b.wav", np.full(16000, 900, np.int16), 8000)
    soundfile.write(audio / "c.flac", np.full(8000, 900, np.int16), 8000)
    ark = audio / "feats.ark"
    blocks = [b"an-1 " + matrix(98, 13), b"an-2 " + matrix(98, 13, b"CM "),
              b"bo-1 " + matrix(48, 13, b"CM2 ")]
    ark.write_bytes(b"".join(blocks))
    at = [5, len(blocks[0]) + 5, len(blocks[0] + blocks[1]) + 5]
    files = {
        "wav.scp": f"r1 {audio}/a b.wav\nr2 {audio}/c.flac\n",
        "segments": "an-1 r1 0 1\nan-2 r1 1.0 2.2\nbo-1 r2 0.5 -1\n",
        "text": "an-1 打开 空调\nan-2 go\nbo-1 stop it\n",
        "utt2spk": "an-1 an\nan-2 an\nbo-1 bo\n",
        "spk2utt": "an an-1 an-2\nbo bo-1\n",
        "utt2dur": "an-1 1\nan-2 1.0\nbo-1 0.5\n",
        "utt2num_frames": "an-1 98\nan-2 98\nbo-1 48\n",
        "feats.scp": f"an-1 {ark}:{at[0]}\nan-2 {ark}:{at[1]}\nbo-1 {ark}:{at[2]}\n",
        "cmvn.scp": f"an {ark}:5\nbo {ark}:5\n",
        "spk2gender": "an f\nbo m\n",
        "reco2dur": "r1 2\nr2 1\n",
        "reco2file_and_channel": "r1 call A\nr2 call B\n",
    }
    path = tmp_path / "set"
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def edit(path, name, old, new):
    text = (path / name).read_bytes()
    old, new = (s if isinstance(s, bytes) else s.encode() for s in (old, new))
    assert old in text
    (path / name).write_bytes(text.replace(old, new, 1))


def test_nothing_wrong(good):
    assert validate_datadir(good) == []
    check_datadir(good, check_audio=True)


# file, what is replaced, by what, where it is told ("file:line"), the key, words of the message.
BROKEN = [
    ("text", "an-2 go\n", "", "utt2spk:2", "an-2", "utterance 'an-2' has no entry in text; add"),
    ("utt2spk", "an-1 an\nan-2 an\n", "", "text:1", "an-1",
     r"utterance 'an-1' has no entry in utt2spk \(and 1 more: 'an-2'\); add it, or run"),
    ("segments", "an-2 r1 1.0 2.2\n", "", "utt2spk:2", "an-2", "has no entry in segments"),
    ("utt2spk", "bo-1 bo", "bo-1 bo m", "utt2spk:3", "bo-1", "'bo-1' has 3 fields, 2 expected"),
    ("segments", "an-1 r1 0 1", "an-1 r1 0", "segments:1", "an-1", "has 3 fields, 4 expected"),
    ("wav.scp", "r2 ", "r2\nr3 ", "wav.scp:2", "r2", "'r2' has 1 field, 2 or more expected"),
    ("text", "an-2 go\n", "an-2 go\nan-2 go\n", "text:3", "an-2",
     "'an-2' is in line 2 already; remove one of the two"),
    ("text", "an-2 go\nbo-1 stop it\n", "bo-1 stop it\nan-2 go\n", "text:3", "an-2",
     "not sorted: 'an-2' comes after 'bo-1' of line 2; sort by bytes"),
    ("text", "an-2 go\n", "an-2 go\n\n", "text:3", "", "empty line; run 'hybridasr fix-data"),
    ("text", "an-2 go\n", "an-2 go\r\n", "text:2", "an-2",
     r"carriage return in the line of 'an-2' \(a Windows file\)"),
    ("text", "打开 空调", "打开　空调", "text:1", "an-1",
     r"'an-1' has non-ASCII white space \(U\+3000\) in column 8; run 'hybridasr fix"),
    ("text", "go", "go\u200bon", "text:2", "an-2", r"a non-printing character \(U\+200B\) in colu"),
    ("text", "go", "go\x1b", "text:2", "an-2", r"a non-printing character \(U\+001B\)"),
    ("text", "go", b"\xb4\xf2", "text:2", "an-2", r"a byte that is not UTF-8 \(0xb4\) in column 6"),
    ("text", "an-1", b"\xef\xbb\xbfan-1", "text:1", "text", "begins with a byte order mark"),
    ("text", "go", "<s> go </s>", "text:2", "an-2", "'an-2' has the word '<s>', which is a symbol"),
    ("text", "go", "go #0", "text:2", "an-2", "'an-2' has the word '#0'"),
    ("text", "go", "<eps>", "text:2", "an-2", "'an-2' has the word '<eps>'"),
    ("spk2utt", "an an-1 an-2", "an an-1 bo-1", "spk2utt:1", "an", "speaker 'an' has 2 utteranc"),
    ("spk2utt", "bo bo-1\n", "", "spk2utt", "bo", "speaker 'bo' has 0 utterances here that"),
    ("segments", "r1 0 1", "r1 1 1", "segments:1", "an-1", "ends at 1 s, which is not after its"),
    ("segments", "r1 0 1", "r1 -0.5 1", "segments:1", "an-1", "begins at -0.5 s"),
    ("segments", "r1 0 1", "r1 0 x", "segments:1", "an-1", "from '0' to 'x', which are not both"),
    ("segments", "1.0 2.2", "1.0 2.7", "segments:2", "an-2",
     "'an-2' is from 1.0 to 2.7 s, recording 'r1' lasts 2.000 s; mend the times"),
    ("segments", "r2 0.5 -1", "r2 1 -1", "segments:3", "bo-1", "recording 'r2' lasts 1.000 s"),
    ("segments", "r2", "r9", "segments:3", "bo-1", "part of recording 'r9', which has no entry in"),
    ("wav.scp", "a b.wav", "gone.wav", "wav.scp:1", "r1", "recording 'r1' is not on disk: /"),
    ("wav.scp", "/", "audio/", "wav.scp:1", "r1", r"relative paths count from the current direct"),
    ("wav.scp", "r1 /", "r1 ~/", "wav.scp:1", "r1", "'r1' is at '~.*', and ~ is not expanded"),
    ("wav.scp", "a b.wav", "feats.ark", "wav.scp:1", "r1", "recording 'r1': .* not an audio file"),
    ("feats.scp", ":5\n", ":7\n", "feats.scp:1", "an-1",
     "features of 'an-1' cannot be read from .*feats.ark:7"),
    ("feats.scp", "feats.ark:5", "none.ark:5", "feats.scp:1", "an-1", "cannot be read.*No such"),
    ("feats.scp", ":5\n", ":99999\n", "feats.scp:1", "an-1", "the archive ends before it"),
    ("utt2num_frames", "an-1 98", "an-1 97", "feats.scp:1", "an-1",
     "'an-1' has 98 frames, 97 in utt2num_frames; run 'hybridasr make-feats"),
    ("utt2num_frames", "an-2 98", "an-2 97", "feats.scp:2", "an-2", "'an-2' has 98 frames, 97 in"),
    ("utt2num_frames", "bo-1 48", "bo-1 47", "feats.scp:3", "bo-1", "'bo-1' has 48 frames, 47 in"),
    ("utt2num_frames", "an-1 98", "an-1 9.8", "utt2num_frames:1", "an-1", "'an-1' is '9.8'; give"),
    ("utt2dur", "an-1 1", "an-1 0", "utt2dur:1", "an-1", "'an-1' is '0'; give seconds above"),
    ("utt2dur", "an-1 1", "an-1 nan", "utt2dur:1", "an-1", "'an-1' is 'nan'; give seconds above 0"),
    ("utt2dur", "bo-1", "bo-2", "utt2dur:3", "bo-2", "'bo-2' has no entry in utt2spk"),
    ("spk2gender", "an f", "an w", "spk2gender:1", "an", "'an' is 'w'; give m or f"),
    ("spk2gender", "bo m\n", "bo m\nzo m\n", "spk2gender:3", "zo", "speaker 'zo' has no entry in"),
    ("reco2dur", "r2 1\n", "", "wav.scp:2", "r2", "recording 'r2' has no entry in reco2dur"),
    ("reco2file_and_channel", "call B", "call", "reco2file_and_channel:2", "r2", "has 2 fields, 3"),
]


def find(faults, place, key, message, path):
    import re

    return [f for f in faults if f.key == key and re.search(message, str(f))
            and str(f).startswith(f"{path / place}: ")]


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: f"{rule[0]}-{rule[5][:30]}")
def test_errors(good, rule):
    name, old, new, place, key, message = rule
    edit(good, name, old, new)
    faults = validate_datadir(good)
    found = find(faults, place, key, message, good)
    assert len(found) == 1, [str(f) for f in faults]
    assert found[0].severity == "error"
    assert has_errors(faults)
    with pytest.raises(UserError):
        check_datadir(good, check_audio=True)


WARNINGS = [
    ("text", "an-2 go", "an-2", "text:2", "an-2", r"'an-2' has no words \(1 such\); right only if"),
    ("text", "it\n", "it", "text:3", "text", "warning: the last line has no line feed"),
    ("feats.scp", "an-1", None, "utt2spk:1", "an-1", "'an-1' has no entry in feats.scp; make"),
    ("utt2dur", "an-1", None, "utt2spk:1", "an-1", "'an-1' has no entry in utt2dur"),
    ("cmvn.scp", "bo", None, "utt2spk:3", "bo", "speaker 'bo' has no entry in cmvn.scp"),
]


@pytest.mark.parametrize("rule", WARNINGS, ids=lambda rule: f"{rule[0]}-{rule[5][:30]}")
def test_warnings(good, rule, caplog):
    name, old, new, place, key, message = rule
    lines = (good / name).read_text().splitlines(keepends=True)
    if new is None:  # take out the line of a key
        (good / name).write_text("".join(li for li in lines if not li.startswith(old + " ")))
    else:
        edit(good, name, old, new)
    faults = validate_datadir(good)
    assert len(find(faults, place, key, message, good)) == 1, [str(f) for f in faults]
    assert [f.severity for f in faults] == ["warning"]
    check_datadir(good, check_audio=True)
    assert key in caplog.text


def test_speakers(good):
    for name in ("spk2gender", "cmvn.scp"):
        (good / name).unlink()
    edit(good, "utt2spk", "bo-1 bo", "bo-1 an")
    (good / "spk2utt").write_text("an an-1 an-2 bo-1\n")
    first, second = validate_datadir(good)
    assert str(first).startswith(f"{good}/utt2spk:3: warning: speaker 'an' is not the beginning of "
                                 "utterance 'bo-1' (1 such); name utterances <speaker>-<rest>")
    assert str(second).startswith(f"{good}/utt2spk: warning: only one speaker ('an', 3 utterances)")


@pytest.mark.parametrize("name", ["wav.scp", "text", "utt2spk", "spk2utt"])
def test_missing_and_empty_files(good, name):
    (good / name).write_text("")
    assert any(f.file.name == name and "is empty" in f.what for f in validate_datadir(good))
    (good / name).unlink()
    fault = next(f for f in validate_datadir(good) if f.file.name == name)
    assert (fault.what, fault.line, fault.severity) == ("no such file", None, "error")


def test_files_that_need_not_be_there(good):
    (good / "text").unlink()
    assert validate_datadir(good, need_text=False) == []
    (good / "wav.scp").unlink()
    for name in ("reco2dur", "reco2file_and_channel"):
        (good / name).unlink()
    assert validate_datadir(good, need_text=False, need_wav=False) == []


def test_no_directory(tmp_path):
    fault, = validate_datadir(tmp_path / "none")
    assert str(fault).startswith(f"{tmp_path}/none: no such data directory; check the path")
    with pytest.raises(UserError, match="none: no such data directory"):
        check_datadir(tmp_path / "none")


def test_wav_without_samples_and_commands(good):
    soundfile.write(good / "empty.wav", np.zeros(0, np.int16), 8000)
    (good / "wav.scp").write_text(f"r1 {good}/empty.wav\nr2 no-such-command |\n")
    errors = [f for f in validate_datadir(good) if f.file.name == "wav.scp"]
    assert [(f.line, f.key) for f in errors] == [(1, "r1")]
    assert "recording 'r1' has no samples" in errors[0].what
    assert validate_datadir(good, check_audio=False) == []


def test_features_of_different_width(good):
    ark = good / "wide.ark"
    ark.write_bytes(b"bo-1 " + matrix(48, 40, b"DM "))
    lines = (good / "feats.scp").read_text().splitlines()
    (good / "feats.scp").write_text("\n".join([*lines[:2], f"bo-1 {ark}:5"]) + "\n")
    fault, = validate_datadir(good)
    assert str(fault) == (f"{good}/feats.scp:3: 'bo-1' has 40 columns, 'an-1' has 13; "
                          f"run 'hybridasr make-feats {good}'")


def test_many_faults_do_not_hide_the_others(good):
    keys = [f"an-{n:03d}" for n in range(200)]
    edit(good, "text", "an-1", "".join(f"{k} x\r\n" for k in keys) + "an-1")
    edit(good, "spk2gender", "an f", "an w")
    faults = validate_datadir(good)
    told = [str(f) for f in faults]
    assert sum("carriage return" in line for line in told) == 5
    assert any("(and 195 more such)" in line for line in told)
    assert any("utterance 'an-000' has no entry in utt2spk (and 199 more: 'an-001', 'an-002', "
               "'an-003', ...)" in line for line in told)
    assert any("give m or f" in line for line in told)
    few = validate_datadir(good, limit=2)
    assert len(few) == 3
    assert str(few[-1]) == f"{good}: {len(faults) - 2} more faults are not shown; mend these first"
    assert few[-1].severity == "error"


def test_check_tells_the_first_error_and_how_many_more(good):
    edit(good, "text", "go", "<s>")
    edit(good, "spk2gender", "an f", "an w")
    with pytest.raises(UserError, match=r"text:2: 'an-2' has the word '<s>'.* \(1 more: run "
                                        r"'hybridasr validate-data .*'\)$"):
        check_datadir(good)


def test_every_file_has_its_fields():
    assert set(FIELDS) == set(FILES)

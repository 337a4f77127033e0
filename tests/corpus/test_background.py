"""Background: recordings of folders, files and data directories, cut into pieces."""

import re

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.audio import load_utterance
from hybridasr.corpus.background import LONGEST, NAME, background_utterances, sound_files
from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.errors import UserError

RATE = 8000


def record(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.name)).integers(-3000, 3000, int(seconds * RATE))
    soundfile.write(path, samples.astype(np.int16), RATE)
    return samples


def test_all_of_a_folder_in_pieces(tmp_path):
    long = record(tmp_path / "radio" / "a b" / "talk.wav", 70)
    record(tmp_path / "radio" / "short.flac", 1)
    (tmp_path / "radio" / "notes.txt").write_text("no recording")
    pieces = background_utterances([tmp_path / "radio"], ("<UNK>",))
    assert [one.utterance for one in pieces] == [
        f"{NAME}-radio-a_b-talk-000{number}" for number in range(3)] + [f"{NAME}-radio-short"]
    assert {one.speaker for one in pieces} == {f"{NAME}-radio-a_b", f"{NAME}-radio"}
    assert {one.words for one in pieces} == {("<UNK>",)}
    assert all(one.end - one.start <= LONGEST for one in pieces[:3])
    joined = np.concatenate([load_utterance(one, RATE) for one in pieces[:3]])
    np.testing.assert_array_equal(joined, long)
    # As a set, the pieces can be written and read.
    assert len(write_datadir(tmp_path / "data", pieces)) == 4


def test_files_and_data_directories(tmp_path):
    record(tmp_path / "one.wav", 1)
    record(tmp_path / "two.wav", 1)
    write_datadir(tmp_path / "data", [
        Utterance("u1", "ann", ("hello",), "two", str(tmp_path / "two.wav"), 0.2, 0.6)])
    pieces = background_utterances([tmp_path / "one.wav", tmp_path / "data"])
    (whole,) = [one for one in pieces if not one.is_segment]
    assert whole.wav == str(tmp_path / "one.wav")
    (part,) = [one for one in pieces if one.is_segment]
    assert (part.utterance, part.speaker, part.words) == (f"{NAME}-u1", f"{NAME}-ann", ())
    assert (part.start, part.end) == (0.2, 0.6)


def test_places_without_recordings_and_names_that_clash(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        with pytest.raises(UserError, match=re.escape("no recordings")):
            background_utterances([tmp_path / place])
    record(tmp_path / "radio" / "one.wav", 1)
    with pytest.raises(UserError, match="two recordings of the background would be called"):
        background_utterances([tmp_path / "radio", tmp_path / "radio" / "one.wav"])
    assert sound_files([tmp_path / "radio"]) == [tmp_path / "radio" / "one.wav"]

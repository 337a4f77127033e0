"""Sets with wrong transcripts, and one long recording: what is kept is what was said."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from command_world import RATE, SYLLABLES, speak

from hybridasr.batch.biased_decode import PieceOptions, cut_pieces, join_words
from hybridasr.cli import main
from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.features.feature_set import make_feats
from hybridasr.features.frames import FeatureOptions
from hybridasr.parallel import SerialExecutor

SCALE = ["--acoustic-scale", "0.03"]


def record(path, texts, rng, key):
    """A recording of some texts in a row; the frames in which each begins and ends, seconds."""
    parts, times, place = [], [], 0
    for text in texts:
        samples = speak(text, rng)
        times.append((place / RATE, (place + len(samples)) / RATE))
        parts.append(samples)
        place += len(samples)
    path.mkdir(parents=True, exist_ok=True)
    soundfile.write(path / f"{key}.wav", np.concatenate(parts), RATE)
    return str(path / f"{key}.wav"), times


def run(verb, world, data, path, *options, code=0):
    assert main([verb, *SCALE, *options, *map(str, (data, world.lang.path, world.mono,
                                                    path / "work", path / "new"))]) == code
    return read_datadir(path / "new") if code == 0 else None


def test_wrong_words_are_cut_out(spoken_world, tmp_path, capsys):
    rng = np.random.default_rng(5)
    said = [[str(word) for word in rng.choice(SYLLABLES, 5)] for _ in range(6)]
    written = [list(words) for words in said]
    # Of utterance 2 the middle word is another one; 3 has one that nobody says; 4 is not its text.
    written[2][2] = next(s for s in SYLLABLES if s not in said[2])
    written[3].insert(3, next(s for s in SYLLABLES if s not in said[3]))
    written[4] = [s for s in SYLLABLES if s not in said[4]][:5]
    utterances = []
    for number, (spoken, text) in enumerate(zip(said, written, strict=True)):
        wav, _ = record(tmp_path / "wav", spoken, rng, f"s-{number}")
        utterances.append(Utterance(f"s-{number}", "s", tuple(text), f"s-{number}", wav))
    write_datadir(tmp_path / "data", utterances)
    make_feats(read_datadir(tmp_path / "data"), FeatureOptions(use_energy=False), SerialExecutor())
    new = run("clean-data", spoken_world, tmp_path / "data", tmp_path)
    found = {name: list(one.words) for name, one in new.utterances.items()}
    for number in (0, 1, 5):
        assert found.pop(f"s-{number}") == said[number]
    assert found == {"s-2-1": said[2][:2], "s-2-2": said[2][3:], "s-3-1": said[3][:3],
                     "s-3-2": said[3][3:]}
    out = capsys.readouterr().out
    assert "6: 3 whole, 2 cut, 1 dropped; 7 in" in out
    assert (tmp_path / "work" / "worst").read_text().startswith("s-4 ")
    edits = [line.split() for line in (tmp_path / "work" / "ctm_edits").read_text().splitlines()]
    kinds = [row[7] for row in edits if row[0] == "s-2" and row[7] != "sil"]
    assert kinds == ["cor", "cor", "sub", "cor", "cor"]
    row = next(row for row in edits if row[0] == "s-2" and row[7] == "sub")
    assert (row[4], row[6]) == (said[2][2], written[2][2])
    segments = [line.split() for line in (tmp_path / "work" / "segments").read_text().splitlines()]
    assert [row[:2] for row in segments][2:4] == [["s-2-1", "s-2"], ["s-2-2", "s-2"]]
    assert run("clean-data", spoken_world, tmp_path / "data", tmp_path, "--min-segment-length",
               "100", code=1) is None
    assert "no utterance has a word" in capsys.readouterr().err


def test_a_long_recording_becomes_utterances(spoken_world, tmp_path):
    rng = np.random.default_rng(9)
    said = [str(word) for word in rng.choice(SYLLABLES, 60)]
    wav, times = record(tmp_path / "wav", said, rng, "long")
    # Two words that nobody says, and one that is not written.
    text = [*said[:20], "bu1", "bu1", *said[20:40], *said[41:]]
    data = write_datadir(tmp_path / "data", [Utterance("long", "long", tuple(text), "long", wav)])
    new = run("segment-long", spoken_world, data.path, tmp_path, "--piece-length", "8",
              "--piece-overlap", "2", "--max-segment-length", "4")
    parts = list(new.utterances.values())
    assert len(parts) > 4
    assert max(one.end - one.start for one in parts) < 4.5
    found = [word for one in parts for word in one.words]
    assert 52 <= len(found) <= 59
    for one in parts:
        inside = [word for word, (begin, end) in zip(said, times, strict=True)
                  if one.start <= (begin + end) / 2 < one.end]
        assert inside == list(one.words)


def test_pieces_cover_everything_and_overlap():
    options = PieceOptions(30.0, 5.0)
    for frames in (0, 1, 4499, 4500, 4501, 9000, 123456):
        pieces = cut_pieces(frames, options, 0.01)
        assert (pieces[0][0], pieces[-1][1]) == (0, frames) if frames else pieces == []
        for one, other in zip(pieces, pieces[1:], strict=False):
            assert one[1] - other[0] == 500
        assert all(0 < end - begin <= 4500 for begin, end in pieces)


def test_seams_take_a_word_that_both_have():
    left = [("a", 0.0, 1.0), ("b", 1.0, 1.9), ("x", 2.0, 2.3)]
    right = [("y", 0.9, 1.4), ("b", 1.05, 1.9), ("c", 2.0, 2.5)]
    assert [word for word, _, _ in join_words(left, right, 1.6)] == ["a", "b", "c"]
    assert join_words(left, [], 1.6) == left[:2]
    assert join_words([], right, 0.0) == right
    assert [word for word, _, _ in join_words(left, [("z", 1.2, 2.5)], 1.6)] == ["a", "b", "z"]


@pytest.mark.parametrize(("options", "message"), [
    (["--piece-length", "4", "--piece-overlap", "2"], "more than twice the overlap"),
    (["--top-words-weight", "1"], "between 0 and 1"),
    (["--max-segment-length", "0.5"], "at least twice min-segment-length"),
])
def test_wrong_options(spoken_world, tmp_path, capsys, options, message):
    run("clean-data", spoken_world, spoken_world.train.path, tmp_path, *options, code=1)
    assert message in capsys.readouterr().err


def test_a_set_is_not_written_over(spoken_world, tmp_path, capsys):
    data = write_datadir(tmp_path / "data", [
        replace(one) for one in list(spoken_world.train.utterances.values())[:2]])
    assert main(["clean-data", *map(str, (data.path, spoken_world.lang.path, spoken_world.mono,
                                          tmp_path / "work", data.path))]) == 1
    assert "would be written over" in capsys.readouterr().err

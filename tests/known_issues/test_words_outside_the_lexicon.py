"""Words that the lexicon lacks gave 100 % errors, or <UNK> in an alignment, without a word why."""

import logging
from dataclasses import replace

import numpy as np
import soundfile

from hybridasr.batch.align_set import OutputOptions, align_set
from hybridasr.corpus.datadir import write_datadir
from hybridasr.lexicon.transcripts import warn_of_unknown_words
from hybridasr.output.ctm import read_ctm
from hybridasr.output.textgrid import read_textgrid
from hybridasr.parallel import SerialExecutor


def test_they_are_named_with_their_nearest(spoken_world, tmp_path, caplog):
    words = {"ba1lu1": ("BA1LU1.",), "da1ti1": ("未知词",)}
    utterances = [replace(u, words=words.get(" ".join(u.words), ("da1",)))
                  for u in spoken_world.train.utterances.values()]
    name = utterances[0].utterance
    utterances[0] = replace(utterances[0], words=("Da1", "未知词", "da1"))
    data = write_datadir(tmp_path / "data", utterances)
    with caplog.at_level(logging.WARNING, "hybridasr"):
        align_set(data, spoken_world.lang, spoken_world.mono, tmp_path / "ali", SerialExecutor())
    (line,) = [record.getMessage() for record in caplog.records if "lexicon" in record.getMessage()]
    assert "'Da1' (1, it has 'da1')" in line
    assert "'未知词' (1)" in line
    report = (tmp_path / "ali" / "outliers.txt").read_text()
    rows = [row.split() for row in report.splitlines() if "unknown-word" in row and name in row]
    assert rows[0][:2] == [name, "unknown-word"]
    assert "not in the lexicon: Da1 未知词" in report


def test_nothing_is_said_of_known_words(spoken_world, caplog):
    with caplog.at_level(logging.WARNING, "hybridasr"):
        warn_of_unknown_words(spoken_world.train, spoken_world.lang.words, spoken_world.mono)
    assert not caplog.records


def test_a_textgrid_is_as_long_as_its_recording(spoken_world, tmp_path):
    utterance = next(iter(spoken_world.train.utterances.values()))
    samples, rate = soundfile.read(utterance.wav, dtype="int16")
    wav = tmp_path / "odd.wav"
    once = len(samples) / rate
    soundfile.write(wav, np.concatenate([samples, samples, np.zeros(77, np.int16)]), rate)
    seconds = soundfile.info(wav).duration
    # Two parts of one recording: times are those of the recording.
    parts = [replace(utterance, utterance=f"p-{n}", speaker="p", recording="odd", wav=str(wav),
                     start=start, end=end) for n, (start, end) in
             enumerate(((0.0, once), (once, seconds)))]
    data = write_datadir(tmp_path / "data", parts)
    align_set(data, spoken_world.lang, spoken_world.mono, tmp_path / "ali", SerialExecutor(),
              output=OutputOptions(textgrid=True))
    end, tiers = read_textgrid(tmp_path / "ali" / "textgrid" / "odd.TextGrid")
    assert end == round(seconds, 6)
    assert tiers["phones"][-1].end < end
    rows = read_ctm(tmp_path / "ali" / "phones.ctm")
    assert {row.recording for row in rows} == {"odd"}
    assert [row.begin for row in rows] == sorted(row.begin for row in rows)
    assert max(row.begin for row in rows) >= once

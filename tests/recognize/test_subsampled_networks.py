"""A network that scores every third frame beside one that scores all: every time is in seconds."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, SYLLABLES, make_network, speak

from hybridasr.batch.align_set import OutputOptions, align_set
from hybridasr.batch.biased_decode import BiasedOptions, PieceOptions, decode_biased
from hybridasr.batch.decode_dir import LATTICES
from hybridasr.batch.decode_set import DecodeOutput, decode_set
from hybridasr.batch.denominator_set import make_denlats
from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.decode.arc_times import arc_times
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.lattice.lattice_text import read_lattices
from hybridasr.model.directory import load_model, model_figures
from hybridasr.options import build_options
from hybridasr.output.ctm import read_ctm
from hybridasr.parallel import SerialExecutor
from hybridasr.recognize.recognizer import load
from hybridasr.recognize.vad import detect_speech
from hybridasr.train.deltas import DeltasOptions, train_deltas
from hybridasr.train.history import read_history
from hybridasr.train.sequence_options import SmbrOptions
from hybridasr.train.sequence_trainer import SequencePlaces, train_sequence
from hybridasr.wake.detector import FIRST, WakeDetector

POOL = SerialExecutor()
NETWORKS = {
    "full": "splice offsets=-4:4\naffine dim=48\nrelu\ntdnn offsets=-3,0,3 dim=48\nbatchnorm\n"
            "relu\noutput\n",
    "third": "splice offsets=-4:4 stride=3\naffine dim=48\nrelu\ntdnn offsets=-1,0,1 dim=48\n"
             "batchnorm\nrelu\noutput\n",
}
# Seconds that a time may differ by: scores are 0.03 apart, and 0.02 later than what they end.
CLOSE = 0.045


@pytest.fixture(scope="module")
def paths(spoken_world, tmp_path_factory):
    root = tmp_path_factory.mktemp("rates")
    return {name: make_network(spoken_world, root / name, text, epochs=4)
            for name, text in NETWORKS.items()}


@pytest.fixture(scope="module")
def models(paths):
    return {name: load_model(path) for name, path in paths.items()}


@pytest.fixture(scope="module")
def aligned(paths, spoken_world):
    for path in paths.values():
        align_set(spoken_world.train, spoken_world.lang, path, path / "ali", POOL,
                  output=OutputOptions(textgrid=True))
    return {name: path / "ali" for name, path in paths.items()}


@pytest.fixture(scope="module")
def decoded(paths, models, spoken_world):
    """Decode directories of words from a loop."""
    for name, model in models.items():
        make_graph(model.lang, model.transitions, model.tree, paths[name] / "graph", "loop",
                   grammar_phrases(model.lang, None))
        decode_set(paths[name], paths[name] / "graph", spoken_world.train, paths[name] / "decode",
                   SearchOptions(acoustic_scale=0.3 * model.subsampling), POOL,
                   output=DecodeOutput(write_lattices=True))
    return {name: path / "decode" for name, path in paths.items()}


def rows(path):
    """recording -> list of (label, begin, end) of a CTM."""
    found = {}
    for row in read_ctm(path):
        found.setdefault(row.recording, []).append((row.symbol, row.begin,
                                                    row.begin + row.duration))
    return found


def assert_close(first, second):
    """Nearly all times of the words that both have in a recording are close."""
    differences = []
    for name, words in first.items():
        others = second.get(name, [])
        if [word[0] for word in words] == [word[0] for word in others]:
            differences += [np.subtract(one[1:], other[1:])
                            for one, other in zip(words, others, strict=True)]
    assert len(differences) >= 0.9 * sum(map(len, first.values()))
    assert np.quantile(np.abs(differences), 0.95) < CLOSE
    assert np.abs(np.mean(differences)) < 0.02


def test_training_on_lattices_gains(paths, aligned, spoken_world, tmp_path):
    source, world = paths["third"], spoken_world
    line = make_denlats(world.train, world.lang, source, tmp_path / "denlats", POOL)
    assert "failed 0, partial 0" in line
    places = SequencePlaces(source, aligned["third"], tmp_path / "denlats")
    options = build_options(SmbrOptions, learning_rate=1e-3, minibatch_size=400)
    model = train_sequence(world.train, world.lang, places, tmp_path / "smbr", POOL, options)
    losses = [row["loss"] for row in read_history(tmp_path / "smbr")]
    assert losses[-1] < losses[0]
    # Almost every aligned state is in the lattices: both count the scored frames alone.
    assert model.info["aligned_not_in_lattice"] < 10


def test_a_model_knows_its_rate(models, paths):
    full, third = models["full"], models["third"]
    assert (full.subsampling, third.subsampling) == (1, 3)
    assert (full.frame_shift, third.frame_shift) == (0.01, pytest.approx(0.03))
    figures = {name: model_figures(model, paths[name]) for name, model in models.items()}
    assert figures["full"]["multiplications_a_second"] == pytest.approx(
        3 * figures["third"]["multiplications_a_second"], rel=1e-6)
    assert figures["third"]["subsampling"] == 3
    # Phones last as long in seconds, and need not last three scores.
    assert np.exp(third.durations[2:, 0]).mean() == pytest.approx(
        np.exp(full.durations[2:, 0]).mean() / 3, rel=1e-5)
    entry = third.transitions.topology.for_phone(third.lang.nonsilence_phones[0])
    assert (entry.min_frames, len(entry.states)) == (1, 4)
    np.testing.assert_array_equal(third.transitions.tuples, full.transitions.tuples)


def test_an_alignment_has_an_id_for_each_score(aligned, spoken_world):
    ids = {name: dict(read_ark(path / "ali.ark")) for name, path in aligned.items()}
    assert ids["third"].keys() == ids["full"].keys()
    for name, third in ids["third"].items():
        assert len(third) == -(-len(ids["full"][name]) // 3)
    for kind in ("words.ctm", "phones.ctm"):
        assert_close(rows(aligned["third"] / kind), rows(aligned["full"] / kind))
    assert len(list((aligned["third"] / "textgrid").iterdir())) == len(spoken_world.train)


def test_words_and_lattices_are_timed_alike(decoded, models):
    found = {name: rows(path / "ctm") for name, path in decoded.items()}
    assert_close(found["third"], found["full"])
    model, checked = models["third"], 0
    for name, lattice in read_lattices(decoded["third"] / LATTICES):
        words = [word for word in found["third"][name] if lattice.num_arcs]
        begins, ends = arc_times(lattice, model.transitions, model.lang, 0.9)
        spans = {(model.lang.word_name(int(word)), round(begin * model.frame_shift, 2),
                  round(end * model.frame_shift, 2))
                 for word, begin, end in zip(lattice.word, begins, ends, strict=True)}
        checked += sum((label, round(begin, 2), round(end, 2)) in spans
                       for label, begin, end in words)
    assert checked >= 0.9 * sum(map(len, found["third"].values()))


def test_long_recordings_are_decoded_in_pieces(paths, spoken_world, tmp_path):
    """Pieces begin with a scored frame, wherever they are cut."""
    rng, utterances = np.random.default_rng(5), []
    for number in range(4):
        words = tuple(str(word) for word in rng.choice(SYLLABLES, 6))
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.concatenate([speak(word, rng) for word in words]), RATE)
        utterances.append(Utterance(f"s-{number}", "s", words, f"s-{number}", str(path)))
    write_datadir(tmp_path / "data", utterances)
    data = read_datadir(tmp_path / "data")
    options = BiasedOptions(search=SearchOptions(acoustic_scale=0.9))
    pieces = replace(options, pieces=PieceOptions(1.1, 0.5))
    whole, cut = (dict(decode_biased(data, spoken_world.lang, paths["third"], POOL, one))
                  for one in (options, pieces))
    for name, utterance in data.utterances.items():
        for heard in (whole[name], cut[name]):
            assert tuple(word[0] for word in heard.words) == utterance.words
            assert heard.words[-1][2] <= heard.seconds
        differences = [np.subtract(one[1:], other[1:]) for one, other
                       in zip(whole[name].words, cut[name].words, strict=True)]
        assert np.abs(differences).max() < 0.065  # two scores, beside a seam
        assert np.median(np.abs(differences)) < 1e-9


def test_voice_activity_is_in_seconds(models):
    quiet = 40 * np.random.default_rng(1).normal(size=RATE).astype(np.float32)
    parts = [speak(text, np.random.default_rng(3)) for text in ("da1ti1bu1", "li1du1ta1")]
    samples = np.concatenate([quiet, parts[0], quiet, parts[1], quiet]).astype(np.float32)
    full, third = (detect_speech(models[name], samples) for name in ("full", "third"))
    assert len(full) == len(third) == 2
    for one, other in zip(full, third, strict=True):
        assert abs(one.start - other.start) < CLOSE
        assert abs(one.end - other.end) < CLOSE


def test_networks_begin_with_alignments_of_their_own_rate(aligned, spoken_world, tmp_path):
    """Or with those of all frames; what is for mixtures is refused."""
    again = make_network(replace_source(spoken_world, aligned["third"]), tmp_path / "again",
                         NETWORKS["third"], epochs=1)
    model = load_model(again)
    first = load_model(aligned["third"])
    assert model.info["accuracy"] > 60
    np.testing.assert_array_equal(model.transitions.log_probs, first.transitions.log_probs)
    np.testing.assert_allclose(model.durations[:, 0], first.durations[:, 0], atol=0.5)
    with pytest.raises(UserError, match="one id for 3 frames, and the new network scores one of 1"):
        make_network(replace_source(spoken_world, aligned["third"]), tmp_path / "full",
                     NETWORKS["full"])
    with pytest.raises(UserError, match="one id for 3 frames, as its network scores no more"):
        train_deltas(spoken_world.train, spoken_world.lang, aligned["third"], tmp_path / "tri",
                     POOL, DeltasOptions())


def replace_source(world, source):
    return type(world)(**{**vars(world), "mono": source})


def test_a_graph_of_another_rate_is_refused(decoded, paths, tmp_path):
    with pytest.raises(UserError, match="belongs to another model"):
        load(paths["third"], graph=paths["full"] / "graph")


@pytest.mark.parametrize("stage", ["full", "third"])
def test_wake_words_in_either_stage(paths, stage, tmp_path):
    rng = np.random.default_rng(4)
    parts = [speak(OUTSIDE[0], rng), np.zeros(RATE, np.int16), speak(COMMANDS[0], rng),
             speak(OUTSIDE[3], rng), np.zeros(RATE, np.int16)]
    begin, end = sum(map(len, parts[:2])) / RATE, sum(map(len, parts[:3])) / RATE
    noise = np.round(40 * rng.normal(size=sum(map(len, parts)))).astype(np.int16)
    shutil.copytree(paths["third"], tmp_path / "model", ignore=shutil.ignore_patterns("ali"))
    shutil.copytree(paths[stage], tmp_path / "model" / FIRST)
    detector = WakeDetector(tmp_path / "model", [COMMANDS[0]])
    events = detector.accept(np.concatenate(parts) + noise) + detector.finish()
    assert [event["wake"] for event in events] == [COMMANDS[0]]
    assert begin < events[0]["start"] < begin + 0.2
    assert end - 0.2 < events[0]["end"] < end + CLOSE



"""Work over sets: blocks by speaker, results in order, the same bytes with any executor."""

import multiprocessing
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command_world import COMMANDS, make_adaptive

from hybridasr.batch import driver
from hybridasr.batch.align_set import OutputOptions, align_set
from hybridasr.batch.decode_set import DecodeOutput, decode_set
from hybridasr.batch.driver import SetBlocks, block_parts, directory_stamp, once_a_worker, run_set
from hybridasr.batch.spot_set import CommandList, phone_pairs, spot_set
from hybridasr.corpus.command_list import make_commands
from hybridasr.corpus.datadir import DataDir, Utterance, read_datadir
from hybridasr.decode.search import SearchOptions
from hybridasr.features.normalization import Normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.graph.mkgraph import make_graph
from hybridasr.lattice.lattice_text import read_lattices
from hybridasr.lattice.paths import n_best
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.model.directory import load_model
from hybridasr.output.ctm import read_ctm
from hybridasr.parallel import SerialExecutor

LIST = CommandList(tuple(make_commands(COMMANDS)))


def interleaved(count=8):
    """A set whose speakers' utterances do not stand together."""
    utterances = [Utterance(f"u{n}", "ab"[n % 2], (), f"u{n}", f"{n}.wav") for n in range(count)]
    return DataDir(Path("data"), {u.utterance: u for u in utterances},
                   {"feats.scp": {u.utterance: "feats.ark:1" for u in utterances[1:]}})


def numbers(block, factor):
    return [(u.utterance, factor * int(u.utterance[1:])) for u in block.utterances]


def test_blocks_are_small_and_of_one_speaker_where_it_adapts(monkeypatch):
    monkeypatch.setattr(driver, "BLOCK_UTTERANCES", 3)
    data = interleaved()
    assert block_parts(data, data.utterances, True) == [["u0", "u2", "u4", "u6"],
                                                        ["u1", "u3", "u5", "u7"]]
    blocks = SetBlocks.of(data, Normalization(PipelineOptions(cmvn="none")), False)
    assert blocks.parts == [["u1", "u2", "u3"], ["u4", "u5", "u6"], ["u7"]]
    # A worker gets rows and places of features, not the set.
    assert [sorted(block.feats.entries) for block in blocks] == blocks.parts


@pytest.mark.parametrize("by_speaker", [False, True])
def test_results_come_in_order_of_the_ids(by_speaker):
    data = interleaved()
    blocks = SetBlocks.of(data, Normalization(PipelineOptions(cmvn="none")), by_speaker)
    results = list(run_set(SerialExecutor(), numbers, blocks, 10))
    assert results == [(f"u{n}", 10 * n) for n in range(1, 8)]


def test_a_worker_loads_once(tmp_path):
    calls = []

    def load(*key):
        calls.append(key)
        return object()

    first = once_a_worker(load, "a", 1)
    assert once_a_worker(load, "a", 1) is first
    thread = threading.Thread(target=lambda: once_a_worker(load, "a", 1))
    thread.start()
    thread.join()
    assert once_a_worker(load, "b", 1) is not first
    assert calls == [("a", 1), ("a", 1), ("b", 1)]
    (tmp_path / "model.json").write_text("1")
    before = directory_stamp(tmp_path)
    assert directory_stamp(tmp_path) == before
    (tmp_path / "model.json").write_text("22")
    assert directory_stamp(tmp_path) != before


@pytest.fixture(scope="module")
def systems(spoken_world, tmp_path_factory):
    """Monophones and a speaker-adaptive system, each with a graph."""
    root = tmp_path_factory.mktemp("systems")
    paths = [shutil.copytree(spoken_world.mono, root / "mono"),
             make_adaptive(spoken_world, root / "sat")]
    for path in paths:
        model = load_model(path)
        make_graph(model.lang, model.transitions, model.tree, path / "graph", "loop",
                   [(word,) for word in ("ba1lu1", *sorted(model.lang.words)[5:20])
                    if word in model.lang.words])
    return paths


def everything(pool, model, data, lang, out):
    """Decode, align, spot and recognise phones; return the bytes of files, and trials."""
    adapt = AdaptOptions(fmllr_min_count=50)
    decode_set(model, model / "graph", data, out / "decode", SearchOptions(), pool, adapt,
               DecodeOutput(write_lattices=True))
    align_set(data, lang, model, out / "ali", pool, adapt=adapt,
              output=OutputOptions(states=True, textgrid=True))
    files = {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*"))
             if path.is_file() and path.suffix not in (".log", ".scp")
             and path.name != "summary.json"}
    trials = [(t.utterance, t.text, t.reason, t.measures.tolist())
              for t in spot_set(model, data, [LIST], pool)[0]]
    return files, trials, phone_pairs(model, data, pool)


@pytest.mark.parametrize("number", [0, 1])
def test_any_executor_gives_the_same_bytes(systems, spoken_world, tmp_path, monkeypatch, number):
    monkeypatch.setattr(driver, "BLOCK_UTTERANCES", 5)
    model, data = systems[number], read_datadir(spoken_world.train.path)
    processes = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    results = []
    for name, pool in (("serial", SerialExecutor()), ("threads", ThreadPoolExecutor(3)),
                       ("processes", processes)):
        with pool:
            results.append(everything(pool, model, data, spoken_world.lang, tmp_path / name))
    for files, trials, pairs in results[1:]:
        assert files.keys() == results[0][0].keys()
        for name, content in files.items():
            assert content == results[0][0][name], name
        np.testing.assert_equal(trials, results[0][1])
        assert pairs == results[0][2]
    assert Path("decode/lat.1.gz") in results[0][0]
    assert (Path("ali/trans.ark") in results[0][0]) == (number == 1)


def test_lattices_change_nothing_but_say_more(systems, spoken_world, tmp_path):
    data, (mono, _) = spoken_world.test, systems
    unsure = SearchOptions(acoustic_scale=0.005)  # so that other words come near
    for name, output in (("plain", None), ("more", DecodeOutput(True, 4.0, 3))):
        decode_set(mono, mono / "graph", data, tmp_path / name, unsure, SerialExecutor(),
                   output=output)
    plain, more = (tmp_path / name for name in ("plain", "more"))
    assert (plain / "text").read_bytes() == (more / "text").read_bytes()
    assert not (plain / "lat.1.gz").exists()
    assert "# Ended (code 0)" in (more / "log" / "decode.log").read_text()
    rows = read_ctm(more / "ctm")
    assert [row._replace(confidence=None) for row in rows] == read_ctm(plain / "ctm")
    assert all(0 <= row.confidence <= 1 for row in rows)
    assert min(row.confidence for row in rows) < 1
    words = load_model(mono).lang.words
    lattices = dict(read_lattices(more / "lat.1.gz", words.values()))
    assert sorted(lattices) == sorted(data.utterances)
    nbest = {name: dict(line.partition(" ")[::2] for line in
                        (more / "nbest" / name).read_text(encoding="utf-8").splitlines())
             for name in ("words_text", "acwt", "lmwt")}
    names = load_model(mono).lang.word_name
    for utterance, lattice in lattices.items():
        for number, path in enumerate(n_best(lattice, 3, 0.005), 1):
            texts = [nbest[name].pop(f"{utterance}-{number}") for name in nbest]
            assert texts[0] == " ".join(names(word) for word in path.words)
            assert [float(text) for text in texts[1:]] == pytest.approx(
                [path.acoustic_cost, path.graph_cost], rel=1e-7)
    assert not any(nbest.values())
    # A later run without lattices leaves none that are not its own.
    decode_set(mono, mono / "graph", data, more, SearchOptions(), SerialExecutor())
    assert not (more / "lat.1.gz").exists()
    assert not (more / "nbest").exists()

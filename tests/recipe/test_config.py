"""Values of recipe.conf replaced on the command line."""

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.errors import UserError
from hybridasr.options import to_dict
from hybridasr.recipe.config import RunOptions, read_overrides, read_recipe, recipes_dir
from hybridasr.recipe.runner import run_recipe
from hybridasr.storage import read_json


def test_overrides_replace_values_of_the_recipe():
    overrides = read_overrides(["tri1.totgauss=7", "tri1.realign-iters=2 3", "lang.sil-prob=0.3"])
    recipe = read_recipe(recipes_dir() / "digits", overrides)
    tri1 = to_dict(recipe.options["tri1"])
    assert (tri1["totgauss"], tri1["realign_iters"], tri1["numleaves"]) == (7, "2 3", 150)
    assert to_dict(recipe.options["lang"])["sil_prob"] == 0.3


def test_a_value_keeps_what_separates_names():
    assert read_overrides(["dnn.network=../a.b=c.conf"]) == {"dnn": {"network": "../a.b=c.conf"}}


@pytest.mark.parametrize("text", ["totgauss=3", "tri1.totgauss", "", "=3"])
def test_other_forms_are_refused(text):
    with pytest.raises(UserError, match="SECTION.OPTION=VALUE"):
        read_overrides([text])


def test_values_of_the_recipe_itself_are_replaced():
    systems = read_overrides(["recipe.systems=mono tri1 tri2b tri3b"])
    assert read_recipe(recipes_dir() / "digits", systems).systems == ("mono", "tri1", "tri2b",
                                                                     "tri3b")
    with pytest.raises(UserError, match="grammar is 'words'"):
        read_recipe(recipes_dir() / "digits", {"recipe": {"grammar": "words"}})


def test_who_asks_for_pitch_or_none_gets_it():
    own = recipes_dir() / "own"
    assert read_recipe(own).pitch_of_tones == ("features", "dnn_features")
    for value in ("true", "false"):
        recipe = read_recipe(own, {"features": {"pitch": value}})
        assert recipe.pitch_of_tones == ("dnn_features",)
        assert recipe.options["features"].pitch is (value == "true")
    assert read_recipe(own, {"recipe": {"pitch_of_tones": "false"}}).pitch_of_tones == ()
    assert read_recipe(recipes_dir() / "digits").pitch_of_tones == ()


@pytest.mark.parametrize(("words", "pitch"), [(("打开", "关闭"), True), (("open", "close"), False)])
def test_features_have_pitch_where_words_have_tones(tmp_path, words, pitch):
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        utterances = []
        for number, word in enumerate(words):
            path = tmp_path / f"{name}{number}.wav"
            soundfile.write(path, rng.normal(0, 0.05, 8000), 16000)
            utterances.append(Utterance(f"{name}-{number}", name, (word,), f"{name}-{number}",
                                        str(path)))
        write_datadir(tmp_path / "corpus" / name, utterances)
    run = RunOptions(tmp_path / "work", tmp_path / "corpus", nj=1, stop_stage=3)
    run_recipe(read_recipe(recipes_dir() / "own"), run)
    features = read_json(tmp_path / "work" / "data" / "train" / "feature.json")
    assert features["pitch"] is pitch

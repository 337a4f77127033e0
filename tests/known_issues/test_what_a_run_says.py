"""Up-sampled audio, and another corpus than the recipe's, went through without a word."""

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.errors import UserError
from hybridasr.features.feature_set import make_feats
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.parallel import executor
from hybridasr.recipe.config import Recipe
from hybridasr.recipe.runner import RunOptions, run_recipe


def recordings(path, rates):
    path.mkdir()
    for number, rate in enumerate(rates):
        noise = np.random.default_rng(number).normal(size=rate // 4) * 1000
        soundfile.write(path / f"{number}.wav", noise.astype(np.int16), rate)
    return [Utterance(f"u{n}", "s", ("a",), f"u{n}", str(path / f"{n}.wav"))
            for n in range(len(rates))]


@pytest.mark.parametrize(("rates", "message"), [
    ((8000, 16000, 8000), "2 of 3 utterances resampled to 16000 Hz, 2 up from 8000 Hz; the "
                          "up-sampled ones hold nothing above 4000 Hz: give --sample-rate 8000"),
    ((8000, 44100), "2 of 2 utterances resampled to 16000 Hz, 1 up from 8000 Hz, 1 down from"),
    ((16000, 16000), None),
])
def test_resampling_is_said_once_a_set(tmp_path, caplog, rates, message):
    data = write_datadir(tmp_path / "data", recordings(tmp_path / "wav", rates))
    with executor(1) as pool:
        make_feats(data, FeatureOptions(), pool)
    lines = [r.getMessage() for r in caplog.records if "resampled" in r.getMessage()
             and r.levelname == "WARNING"]
    assert len(lines) == (message is not None)
    assert message is None or message in lines[0]


def test_a_recipe_refuses_another_public_corpus(tmp_path):
    corpus = tmp_path / "corpus"
    for speaker in ("ann", "bob"):
        for digit in range(2):
            (corpus / "recordings").mkdir(parents=True, exist_ok=True)
            soundfile.write(corpus / "recordings" / f"{digit}_{speaker}_0.wav",
                            np.zeros(800, np.int16), 8000)
    recipe = Recipe("dsp20", tmp_path, "DSPSpeech-20, 20 words", "dsp20", ("test",), "commands",
                    "lexicon", ("mono",), "mono")
    with pytest.raises(UserError, match="corpus: is the Free Spoken Digit Dataset, not what recipe "
                                        "dsp20 is for .*pass --recipe digits, or --recipe own"):
        run_recipe(recipe, RunOptions(work=tmp_path / "work", corpus=corpus))

"""The recipes whose test speakers or words were never heard, end to end: beside `test_recipes`."""

import numpy as np
import pytest
from recipe_world import error_rates, run, word_rows

pytestmark = pytest.mark.slow


@pytest.mark.realdata
def test_digits_leaving_one_speaker_out(data_root, tmp_path):
    for package in ("espeakng_loader", "pypinyin"):  # synthetic speakers
        pytest.importorskip(package)
    rates = []
    # A hard speaker and an easy one; bench_recipes.py has all four.
    for speaker in ("george", "jackson"):
        # A quarter of the recipe's synthetic speakers, half of its copies.
        rows, _ = run("digits", tmp_path / speaker, "--corpus", data_root / "fsdd",
                      "--test-speaker", speaker, "--stop-stage", 10, "--set", "augment.copies=1",
                      "--set", "augment.speeds=0.85 1.15", "--set", "synthesize.speakers=60")
        assert rows["tri3b"]["words"] == 500
        alone = word_rows(tmp_path / speaker, "none")["dnn"]["wer"]
        rates.append(error_rates(rows) | {"dnn alone": alone})
    mean = {system: np.mean([rate[system] for rate in rates]) for system in rates[0]}
    bars = {"mono": 20.0, "tri1": 20.0, "tri2b": 20.0, "tri3b": 10.0, "dnn": 6.0,
            "dnn alone": 17.0}
    assert all(mean[system] <= bar for system, bar in bars.items()), rates


@pytest.mark.realdata
def test_words_zh(data_root, tmp_path):
    rows, _ = run("words_zh", tmp_path, "--corpus", data_root / "audio-cmn", "--stop-stage", 8)
    rates = error_rates(rows)
    assert rows["tri1"]["words"] >= 490
    assert all(rates[s] <= bar for s, bar in
               {"mono": 16.0, "tri1": 6.1, "tri2b": 6.3}.items()), rates

"""The first alignment of a training: lasting quiet at the ends of an utterance is silence."""

import numpy as np
import pytest
from small_world import DIM, FEATURES, PIPELINE, write_set

from hybridasr.corpus.datadir import Utterance
from hybridasr.decode.words import phone_segments
from hybridasr.features.normalization import set_normalization
from hybridasr.parallel import executor
from hybridasr.train import mono
from hybridasr.train.blocks import write_blocks, write_graphs
from hybridasr.train.em import TrainState, write_features
from hybridasr.train.flat_start import equal_block


@pytest.mark.parametrize(("before", "after"), [(40, 50), (0, 50), (40, 0), (5, 5)])
def test_quiet_at_the_ends_is_silence(world, tmp_path, before, after):
    lang, spoken = world[2], 60
    feats = np.random.default_rng(1).normal(size=(before + spoken + after, DIM))
    # The first column is the energy of the small world's features.
    feats[:, 0] = np.repeat([0.0, 10.0, 0.0], [before, spoken, after])
    data = write_set(tmp_path / "data", [Utterance("a-1", "a", ("da",), "a-1", "a-1.wav")],
                     {"a-1": feats.astype(np.float32)})
    with executor(1) as pool:
        refs = write_blocks(data, lang, set_normalization(data, FEATURES, PIPELINE),
                            tmp_path / "blocks", pool)
        model = mono._empty_model(lang, FEATURES, PIPELINE)
        state = write_features(TrainState(model, refs, []), pool)
        write_graphs(state.refs, model, pool)
        model = mono._flat_model(model, state.refs, pool)
    alignment = equal_block(state.refs[0], model, 0).alignments[0]
    speech = [segment for segment in phone_segments(alignment, model.transitions)
              if segment.label != lang.optional_silence]
    if before >= 20:
        assert speech[0].begin == before
    if after >= 20:
        assert speech[-1].end == before + spoken
    # Quiet that does not last is spread over as all frames are.
    if before < 20 and after < 20:
        assert sum(segment.end - segment.begin for segment in speech) > spoken / 2

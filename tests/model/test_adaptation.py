"""Options of adaptation to speakers."""

import pytest

from hybridasr.errors import UserError
from hybridasr.model.adaptation import AdaptOptions


@pytest.mark.parametrize("fault", [{"fmllr_passes": -1}, {"prior_frames": -0.5},
                                   {"nnet_passes": -1}, {"nnet_learning_rate": -1.0},
                                   {"nnet_prior_frames": -1.0}])
def test_options_out_of_range(fault):
    with pytest.raises(UserError, match=f"option {next(iter(fault))} is -.*; give 0 or more"):
        AdaptOptions(**fault)

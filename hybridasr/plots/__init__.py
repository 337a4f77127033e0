"""Pictures: what is easier to look at than to read. Needs matplotlib (extra ``plots``)."""

from hybridasr.plots.alignment_plot import draw_alignment
from hybridasr.plots.canvas import pyplot
from hybridasr.plots.detection_curves import draw_det, draw_reliability, draw_roc
from hybridasr.plots.fst_plot import draw_fst
from hybridasr.plots.lattice_plot import draw_lattice
from hybridasr.plots.model_plots import draw_gaussians, draw_topology
from hybridasr.plots.score_plots import draw_confusion, draw_error_rates, draw_systems
from hybridasr.plots.search_plots import draw_posteriogram, draw_trellis
from hybridasr.plots.signal_plots import (
    draw_features,
    draw_filterbank,
    draw_pitch,
    draw_spectrogram,
    draw_spectrum,
    draw_waveform,
)
from hybridasr.plots.training_plot import draw_training
from hybridasr.plots.tree_plot import draw_tree

__all__ = ["draw_alignment", "draw_confusion", "draw_det", "draw_error_rates", "draw_features",
           "draw_filterbank", "draw_fst", "draw_gaussians", "draw_lattice", "draw_pitch",
           "draw_posteriogram", "draw_reliability", "draw_roc", "draw_spectrogram",
           "draw_spectrum", "draw_systems", "draw_topology", "draw_training", "draw_tree",
           "draw_trellis", "draw_waveform", "pyplot"]

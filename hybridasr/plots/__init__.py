"""Pictures: what is easier to look at than to read. Needs matplotlib (extra ``plots``)."""

from hybridasr.plots.canvas import pyplot
from hybridasr.plots.detection_curves import draw_det, draw_reliability, draw_roc
from hybridasr.plots.lattice_plot import draw_lattice
from hybridasr.plots.tree_plot import draw_tree

__all__ = ["draw_det", "draw_lattice", "draw_reliability", "draw_roc", "draw_tree", "pyplot"]

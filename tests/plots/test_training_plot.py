"""Curves of trainings."""

from pathlib import Path

from hybridasr.plots.training_plot import draw_training, training_lines

ROUNDS = [{"round": 1, "epoch": 1, "loss": 3.0, "accuracy": 20.0, "learning_rate": 1e-3,
           "gradient_norm": None},
          {"round": 2, "epoch": 1, "loss": 2.0, "accuracy": 40.0, "learning_rate": 1e-4,
           "gradient_norm": 0.5, "held_out_loss": 2.5, "held_out_accuracy": 35.0}]


def test_lines_of_a_network():
    lines = training_lines({"dnn": ROUNDS})
    assert lines["loss", "held_out_loss"] == {"dnn": ([1, 2], [3.0, 2.0]),
                                              "dnn, held out": ([2], [2.5])}
    assert lines["gradient_norm",] == {"dnn": ([2], [0.5])}
    assert ("loglike",) not in lines


def test_curves_drawn(figures):
    kept = figures("training_plot")
    draw_training({"dnn": ROUNDS}, Path("x.svg"))
    axes = kept[0].axes
    assert [one.get_ylabel() for one in axes] == [
        "loss a frame", "frames right, %", "learning rate", "gradient norm"]
    # A step size that falls to a tenth, a norm of one value.
    assert [one.get_yscale() for one in axes] == ["linear", "linear", "log", "linear"]
    assert axes[1].lines[0].get_xydata().tolist() == [[1, 20], [2, 40]]
    assert axes[-1].get_xlabel() == "round"
    draw_training({"mono": [{"iteration": 1, "loglike": -9.0, "gaussians": 5}]}, Path("x.svg"))
    assert kept[1].axes[-1].get_xlabel() == "iteration"


def test_likelihoods_are_gains_at_whole_iterations(figures):
    kept = figures("training_plot")
    rows = {name: [{"iteration": step, "loglike": start + step} for step in range(1, 20)]
            for name, start in (("mono", -10.0), ("tri2b", -50.0))}
    draw_training(rows, Path("x.svg"))
    axes, = kept[0].axes
    for line in axes.lines:
        assert line.get_ydata().tolist() == list(range(19))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "mono, from -9.0", "tri2b, from -49.0"]
    assert all(tick == int(tick) for tick in axes.get_xticks())

"""Owns pictures of alignments: words, phones and states over the sound."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hybridasr.features.frames import FeatureOptions
from hybridasr.plots.canvas import WIDTH, fitting_label, pyplot_for, save
from hybridasr.plots.signal_plots import show_spectrogram

Interval = tuple[str, float, float]  # label, begin, end in seconds
ROW_HEIGHT = 0.42  # inches
_LEFT, _RIGHT = 0.09, 0.99  # where the pictures are between the sides
_FILLS = ("#dbe9f6", "#fdf3d8")


def draw_alignment(samples: np.ndarray, options: FeatureOptions,
                   tiers: Mapping[str, Sequence[Interval]], path: Path) -> None:
    """Draw words, phones and states under the spectrogram, on one time axis.

    Parameters
    ----------
    tiers : mapping name -> intervals
        From top to bottom, such as words, phones, states.

    How to read it: the white lines are the borders of the first two rows. In a good alignment they
    stand where the picture changes: a vowel between its bands' begin and end, a stop at its gap.
    A phone squeezed to a few frames, or a silence inside of a word, tells of a wrong transcript or
    pronunciation. Labels without room are left out.
    """
    plt = pyplot_for(path)
    heights = [2.6, *[ROW_HEIGHT] * len(tiers)]
    figure, (top, *rows) = plt.subplots(1 + len(tiers), sharex=True, height_ratios=heights,
                                        figsize=(WIDTH, 1 + sum(heights)),
                                        gridspec_kw={"hspace": 0.06, "left": _LEFT,
                                                     "right": _RIGHT})
    show_spectrogram(top, samples, options)
    seconds = len(samples) / options.sample_rate
    scale = (_RIGHT - _LEFT) * WIDTH / seconds  # inches a second
    for number, (axes, (name, intervals)) in enumerate(zip(rows, tiers.items(), strict=True)):
        for place, (label, begin, end) in enumerate(intervals):
            # Of a state, its number: the phone stands above.
            label = label.rpartition("_")[2] if name == "states" else label
            axes.axvspan(begin, end, facecolor=_FILLS[place % 2], edgecolor="0.4", linewidth=0.5)
            if number < 2:
                top.axvline(begin, color="white", linewidth=1.0 if number == 0 else 0.5)
            turn = fitting_label(label, (end - begin) * scale, ROW_HEIGHT)
            if turn is not None:
                axes.text((begin + end) / 2, 0.5, label, ha="center", va="center", fontsize=8,
                          rotation=turn)
        axes.set(ylim=(0, 1), yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    (rows or [top])[-1].set_xlabel("time, s")
    top.set(xlim=(0, seconds), title="alignment")
    save(figure, path)

"""Pictures of what conditions do to a face in use."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..live.survey import share
from .figures import BLUE, GREEN, ORANGE, THEME, canvas

WORDS = {
    "size": "Side of the face (pixels)",
    "light": "Light (times)",
    "blur": "Blur (pixels)",
    "hidden": "Hidden from below (share)",
    "tilt": "Tilt (degrees)",
}
DRAWN = {
    "found": ("found", BLUE),
    "right": ("emotion right, cut at the true place", ORANGE),
    "right_of_found": ("emotion right, of those found", GREEN),
}


@rc_context(THEME)
def conditions(lines: list[dict]) -> Figure:
    """Shares of faces found and told right against each condition of a ``survey.survey``, with intervals."""
    figure, grid = canvas(9.6, 5.2, 2, 3, sharey=True)
    shown = list(dict.fromkeys(line["condition"] for line in lines))
    for axes, condition in zip(grid.flat, shown):
        here = [line for line in lines if line["condition"] == condition]
        levels = [line["level"] for line in here]
        for name, (label, colour) in DRAWN.items():
            shares, low, high = 100 * np.array([share(line, name) for line in here]).T
            axes.plot(levels, shares, "o-", color=colour, markersize=4, label=label)
            axes.fill_between(levels, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel=WORDS[condition], ylim=(0, 100))
        if condition in ("size", "light"):
            axes.set_xscale("log")
            axes.set_xticks(levels, [f"{level:g}" for level in levels])
            axes.minorticks_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("Faces (%)")
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure

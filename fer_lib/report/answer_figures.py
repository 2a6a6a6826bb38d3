"""Pictures that hold models side by side: how they do on each emotion, and how far their confidence is earned."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..data.emotions import FER2013
from .figures import BLUE, GREY, THEME, canvas

FEW = 10
"""Fewer answers than this are no point of a reliability diagram."""


@rc_context(THEME)
def per_class(measured: list[tuple[str, np.ndarray]], emotions: Sequence[str] = FER2013) -> Figure:
    """Precision, recall and F1 of each emotion, in percent: a line for each model, three fields side by side.

    ``measured``: names with (3, k) arrays as ``pooled.per_class`` gives them; NaN where there is nothing to divide.
    """
    figure, panels = canvas(9.6, 1.3 + 0.3 * len(measured), 1, 3, sharey=True)
    for place, (axes, title) in enumerate(zip(panels, ("Precision", "Recall", "F1"))):
        values = np.array([scores[place] for _, scores in measured])
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value > 0.55 else "0.15"
            said = "–" if np.isnan(value) else f"{100 * value:.0f}"
            axes.text(column, row, said, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(emotions)), emotions, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_title(title)
        axes.grid(visible=False)
    panels[0].set_yticks(range(len(measured)), [name for name, _ in measured])
    return figure


@rc_context(THEME)
def reliability(measured: list[tuple[str, dict]], columns: int = 4) -> Figure:
    """Accuracy of the answers given with about the same confidence, a field for each model.

    ``measured``: names with what ``pooled.reliability`` gives. On the dashed line a network is right as often as it
    is sure; below it, it is too sure. A dot's area tells how many answers it stands for; ``FEW`` at least.
    """
    columns = min(columns, len(measured))
    rows = -(-len(measured) // columns)
    figure, panels = canvas(2.4 * columns, 2.45 * rows + 0.2, rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (name, found) in zip(panels.flat, measured):
        axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
        enough = found["counts"] >= FEW
        confidence, accuracy, counts = (found[key][enough] for key in ("confidence", "accuracy", "counts"))
        axes.plot(confidence, accuracy, color=BLUE, lw=1.2)
        axes.scatter(
            confidence, accuracy, s=4 + 120 * counts / max(1, counts.sum()), color=BLUE, clip_on=False, zorder=3
        )
        axes.set_title(textwrap.fill(name, 27), fontsize=8.5)
        errors = 100 * np.array(found["errors"])
        axes.text(0.03, 0.95, f"ECE {errors.mean():.1f} %", va="top", transform=axes.transAxes, fontsize=8.5)
    for axes in panels.flat[len(measured) :]:
        axes.set_visible(False)
    for axes in panels.flat:
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.supxlabel("Confidence of the answer", fontsize=10)
    figure.supylabel("Accuracy", fontsize=10)
    return figure

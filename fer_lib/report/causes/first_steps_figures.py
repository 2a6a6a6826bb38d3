"""Pictures of what went wrong in a training: each gives a matplotlib Figure, as those of ``fer_lib.report.figures``."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..figures import BLUE, ORANGE, THEME, canvas

COLOURS = {"clipped": ORANGE, "logits": BLUE}
SHOWN = {
    "loss": "Loss of the batch",
    "saturated": "Rows so sure that\nthe clip is reached",
    "gradient_norm": "Norm of the gradient",
    "dead": "ReLU units dead\non the batch",
    "most_given_share": "Share of the most\ngiven answer",
}
"""Quantities of ``fer_lib.training.first_steps`` and what they are called at an axis."""


@rc_context(THEME)
def first_steps(sweep: list[dict], traces: dict[str, np.ndarray]) -> Figure:
    """Each quantity (down) after each step, a column for each input scale, a thin line for each setting.

    ``sweep`` and ``traces`` as a record has them (see ``records.traces``). Colour tells the loss; lines are full at the
    highest learning rate and dashed below. Loss and gradient are on scales that are logarithmic down to 1 and 0.001,
    and linear below, so that 0 has a place.
    """
    scales = list(dict.fromkeys(line["input_scale"] for line in sweep))
    highest = max(line["learning_rate"] for line in sweep)
    size = dict(sharex=True, sharey="row", squeeze=False)
    figure, axes = canvas(1.2 + 2.9 * len(scales), 1.2 + 1.45 * len(SHOWN), len(SHOWN), len(scales), **size)
    for place, line in enumerate(sweep):
        column, style = scales.index(line["input_scale"]), "-" if line["learning_rate"] == highest else "--"
        for row, name in enumerate(SHOWN):
            steps, marker = np.arange(1, traces[name].shape[1] + 1), "o" if traces[name].shape[1] == 1 else None
            values = traces[name][place]
            axes[row, column].plot(
                steps, values, color=COLOURS[line["loss"]], ls=style, lw=1.1, alpha=0.75, marker=marker, ms=3
            )
    for row, (name, label) in enumerate(SHOWN.items()):
        axes[row, 0].set_ylabel(label)
        if name in ("loss", "gradient_norm"):
            axes[row, 0].set_yscale("symlog", linthresh=1 if name == "loss" else 0.001)
            axes[row, 0].set_ylim(bottom=0)
        else:
            axes[row, 0].set_ylim(-0.04, 1.04)
            axes[row, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for column, scale in enumerate(scales):
        axes[0, column].set_title(f"pixels {scale}")
        axes[-1, column].set_xlabel("Step")
        axes[-1, column].xaxis.set_major_locator(MaxNLocator(integer=True))
    rates = sorted({line["learning_rate"] for line in sweep}, reverse=True)
    losses = list(dict.fromkeys(line["loss"] for line in sweep))
    handles = [axes[0, 0].plot([], [], color=COLOURS[loss])[0] for loss in losses]
    handles += [axes[0, 0].plot([], [], color="0.3", ls="-" if rate == highest else "--")[0] for rate in rates]
    names = [f"loss: {loss}" for loss in losses] + [f"rate {rate:g}" for rate in rates]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


@rc_context(THEME)
def saturation(sweep: list[dict], traces: dict[str, np.ndarray]) -> Figure:
    """The gradient's norm against the share of saturated rows: a dot for each step, coloured by loss."""
    figure, axes = canvas(6.4, 3.6)
    for loss in dict.fromkeys(line["loss"] for line in sweep):
        of_loss = [place for place, line in enumerate(sweep) if line["loss"] == loss]
        share, norm = traces["saturated"][of_loss].ravel(), traces["gradient_norm"][of_loss].ravel()
        axes.plot(share, norm, "o", color=COLOURS[loss], ms=3.5, alpha=0.35, mew=0, label=f"loss: {loss}")
    axes.set_yscale("symlog", linthresh=0.001)
    axes.set_ylim(bottom=-0.0005)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="Rows of the batch so sure that the clip is reached", ylabel="Norm of the gradient")
    figure.legend(loc="outside upper center", ncols=2)
    return figure

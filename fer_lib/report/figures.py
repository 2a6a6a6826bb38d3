"""Pictures of results: one function a figure, each giving a matplotlib Figure and drawing on nothing else.

``answer_figures`` has those that compare what models answer, ``network_figures`` those of the networks,
``figures_data`` those of the data.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from ..data.emotions import FER2013

THEME = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.3",
    "axes.grid": True,
    "axes.labelcolor": "0.15",
    "axes.labelsize": 10,
    "axes.linewidth": 1,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.size": 9.5,
    "grid.color": "0.9",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.2,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "text.color": "0.15",
    "xtick.bottom": False,
    "xtick.color": "0.15",
    "xtick.labelsize": 9.2,
    "ytick.color": "0.15",
    "ytick.labelsize": 9.2,
    "ytick.left": False,
}
PALETTE = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
"""Colours that are told apart with any kind of colour vision (seaborn's "colorblind", without the wait for seaborn)."""
BLUE, ORANGE, GREEN = PALETTE[:3]
GREY = "0.45"


class _Figure(Figure):
    """A figure that a notebook displays as a picture, though pyplot, which would tell it how, knows nothing of it."""

    photographs = False  # whether it shows photographs, whose colours a dark page must leave alone

    def _repr_png_(self, dpi: int = 160) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi)
        small = io.BytesIO()  # with 256 colours, all that a chart or grey faces need, it is a third as large
        Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png")
        return small.getvalue()


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs):
    """A figure of this size in inches and its axes, in the project's style."""
    figure = _Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **kwargs)


def captioned(figure: Figure, caption: str, alternative: str = ""):
    """The figure as an HTML element with a caption: what notebooks display.

    ``alternative`` says in words what the picture shows; where it is empty the caption does.
    """
    from IPython.display import HTML  # here, so that a machine without Jupyter can draw

    data, text = base64.b64encode(figure._repr_png_()).decode(), html.escape(alternative or caption)
    width = round(figure.get_figwidth() * 100)
    kinds = ["photographs" if getattr(figure, "photographs", False) else "chart"] + ["half"] * (width <= 500)
    return HTML(
        f'<figure class="{" ".join(kinds)}"><img src="data:image/png;base64,{data}" width="{width}" alt="{text}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


@rc_context(THEME)
def learning_curves(records: list[dict], reported: float | None = None) -> Figure:
    """Training and test accuracy after each epoch: a thin line for each seed, a thick one for their mean, and a band
    from the lowest to the highest seed.

    ``records`` are runs of one experiment that differ in nothing but the seed; ``reported`` is the paper's accuracy in
    percent. Mean and band end where the first run ends: beyond, they would be of the runs that lived. Raises ValueError
    where no record has a history (a tree has none).
    """
    histories = [record["history"] for record in records if record["history"]]
    if not histories:
        raise ValueError("records: found none with a history, expected runs of a network")
    rows = records[0]["parameters"].get("evaluation_rows", "PublicTest+PrivateTest")
    figure, axes = canvas(4.8, 3.9)
    shortest = min(map(len, histories))
    marker = "o" if shortest == 1 else None
    for key, colour, label in (("accuracy", GREY, "training rows"), (f"{rows}_accuracy", BLUE, rows)):
        curves = [[entry[key] for entry in history] for history in histories]
        for curve in curves:
            axes.plot(range(1, len(curve) + 1), curve, color=colour, lw=0.8, alpha=0.6, marker=marker, ms=3)
        together = np.array([curve[:shortest] for curve in curves])
        mean = together.mean(axis=0)
        if len(curves) > 1:
            ends = together.min(axis=0), together.max(axis=0)
            axes.fill_between(range(1, shortest + 1), *ends, color=colour, alpha=0.2, lw=0)
        axes.plot(range(1, shortest + 1), mean, color=colour, lw=2.4, label=label, marker=marker, ms=6)
    if reported is not None:
        axes.axhline(reported / 100, color=ORANGE, ls="--", lw=1.6, label=f"reported, {reported:.2f} %")
    axes.set(xlabel="Epoch", ylabel="Accuracy", ylim=(0, min(1.0, max(0.4, 1.05 * axes.get_ylim()[1]))))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@rc_context(THEME)
def confusion_matrix(counts: np.ndarray, emotions: Sequence[str] = FER2013) -> Figure:
    """Recall of each emotion and what it is mistaken for: each row of ``counts`` divided by its sum.

    ``counts`` (k, k) integers, true emotion down, predicted across, seeds added up. Each cell gives the share of its
    row and, small, the count.
    """
    figure, axes = canvas(4.8, 3.9)
    _matrix(axes, counts, counts.sum(axis=1, keepdims=True), emotions)
    return figure


@rc_context(THEME)
def confusion_matrix_as_published(
    counts: np.ndarray, reported: Sequence[float | None] = (), emotions: Sequence[str] = FER2013
) -> Figure:
    """Saravanan et al. 2019, Fig. 4: the counts as their released notebook divides them.

    It divides the cell (true i, predicted j) by the number of faces of emotion j, not i, so that rows do not add up to
    one: right on the diagonal, wrong everywhere else. ``reported`` (k,), in percent: the paper's diagonal, in brackets
    under ours.
    """
    figure, axes = canvas(4.8, 3.9)
    _matrix(axes, counts, counts.sum(axis=1)[None, :], emotions, {(k, k): value for k, value in enumerate(reported)})
    return figure


def _matrix(axes, counts, totals, emotions, reported: dict | None = None) -> None:
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 0.55 else "0.15" if counts[row, column] else "0.75"
        below = f"{counts[row, column]:,}"
        if reported is not None:
            given = reported.get((row, column))
            below = f"({given:g} %)" if given is not None else ""
        axes.text(column, row - 0.12, f"{100 * value:.0f} %", ha="center", va="center", color=colour)
        axes.text(column, row + 0.26, below, ha="center", va="center", color=colour, fontsize=6.5)
    axes.set_xticks(range(len(emotions)), emotions, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(emotions)), emotions)
    axes.set(xlabel="Predicted", ylabel="True")
    axes.grid(visible=False)


@rc_context(THEME)
def pixel_importance(importances: np.ndarray) -> Figure:
    """Where a tree looks: importances (2304,) of the pixels of a 48 x 48 face, which add up to 1, as a picture."""
    figure, axes = canvas(4.0, 3.2)
    share = 100 * np.asarray(importances, np.float64).reshape(48, 48)
    picture = axes.imshow(share, cmap="cividis", norm=PowerNorm(0.5, vmin=0))
    axes.set_axis_off()
    figure.colorbar(picture, ax=axes, label="Share of the impurity removed (%)")
    return figure


@rc_context(THEME)
def accuracy_overview(measured) -> Figure:
    """Reported against measured accuracy, one line for each row of ``pooled.accuracies``.

    A diamond, somewhat above the line, is the paper's value, a dot the mean over seeds with its t interval (thick),
    small rings the seeds; the thin line is the Wilson interval of the test set's sampling. Both values stand right.
    """
    figure, axes = canvas(8.8, 1.3 + 0.42 * len(measured))
    for place, row in enumerate(measured.to_dict("records")):
        axes.plot([100 * row["wilson_low"], 100 * row["wilson_high"]], [place] * 2, color=BLUE, lw=1.2, alpha=0.7)
        axes.plot(
            [100 * row["low"], 100 * row["high"]], [place] * 2, color=BLUE, lw=5, alpha=0.45, solid_capstyle="butt"
        )
        axes.plot(
            [100 * a for a in row["accuracies"]], [place] * row["seeds"], "o", mfc="none", mec=BLUE, ms=4, mew=0.7
        )
        axes.plot(100 * row["mean"], place, "o", color=BLUE, ms=5)
        said = f"{100 * row['mean']:.2f}"
        said += f" [{100 * row['low']:.2f}, {100 * row['high']:.2f}]" if np.isfinite(row["low"]) else ""
        _beside(axes, place, 8, said, BLUE)
        if np.isfinite(row["reported"] or np.nan):  # pandas makes NaN of None where a column holds numbers
            axes.plot(row["reported"], place - 0.25, "D", mfc="none", mec=ORANGE, mew=1.5, ms=5)
            _beside(axes, place, 130, f"{row['reported']:.2f}", ORANGE)
    alone = ~measured["title"].duplicated(keep=False)
    labels = measured["title"].where(alone, measured["title"] + "\n" + measured["computed_by"])
    axes.set_yticks(range(len(measured)), labels)
    axes.set(xlabel="Accuracy (%)", ylim=(len(measured) - 0.5, -0.6))
    _beside(axes, -0.8, 8, "ours [t interval]", GREY)
    _beside(axes, -0.8, 130, "reported", GREY)
    axes.set_xlim(0, min(100, axes.get_xlim()[1]))
    handles = [
        axes.plot([], [], "D", mfc="none", mec=ORANGE, mew=1.5, ms=5)[0],
        axes.plot([], [], "o", color=BLUE, ms=5)[0],
        axes.plot([], [], color=BLUE, lw=5, alpha=0.45)[0],
        axes.plot([], [], color=BLUE, lw=1.2, alpha=0.7)[0],
    ]
    labels = ["reported", "ours, mean over seeds", "95 % t interval over seeds", "95 % Wilson interval of the test set"]
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _beside(axes, y: float, points: float, text: str, colour) -> None:
    """Words right of the axes, so many points from them."""
    axes.annotate(text, (1, y), (points, 0), ("axes fraction", "data"), "offset points", color=colour, va="center",
                  fontsize=8.5, annotation_clip=False)  # fmt: skip

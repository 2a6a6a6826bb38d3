"""Pictures: one function a figure, each giving a matplotlib Figure and drawing on nothing else."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
import seaborn
from matplotlib import rc_context
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from . import audit
from .datasets import SPLITS, Faces, ferplus
from .emotions import FER2013

THEME = {
    **seaborn.axes_style("whitegrid"),
    **seaborn.plotting_context("paper", font_scale=1.05),
    "axes.edgecolor": "0.3",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "grid.color": "0.9",
    "legend.frameon": False,
}
BLUE, ORANGE, GREEN = (seaborn.color_palette("colorblind")[k] for k in (0, 1, 2))
GREY = "0.45"


class _Figure(Figure):
    """A figure that a notebook displays as a picture, though pyplot, which would tell it how, knows nothing of it."""

    def _repr_png_(self, dpi: int = 160) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs):
    figure = _Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **kwargs)


def captioned(figure: Figure, caption: str):
    """The figure as an HTML element with a caption, which is its alternative text too: what notebooks display."""
    from IPython.display import HTML  # here, so that a machine without Jupyter can draw

    data, text = base64.b64encode(figure._repr_png_()).decode(), html.escape(caption)
    width = round(figure.get_figwidth() * 100)
    side_by_side = ' class="half"' if width <= 500 else ""
    return HTML(
        f'<figure{side_by_side}><img src="data:image/png;base64,{data}" width="{width}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


@rc_context(THEME)
def class_distribution(faces: Faces) -> Figure:
    """How many faces of each emotion, each bar divided into the three splits (Saravanan et al. 2019, Fig. 2)."""
    figure, axes = _figure(6.4, 3.4)
    places, below = np.arange(len(faces.emotions)), np.zeros(len(faces.emotions), int)
    for split, colour in zip(SPLITS, (BLUE, ORANGE, GREEN), strict=True):
        counts = np.bincount(faces.labels[faces.rows(split)], minlength=len(faces.emotions))
        axes.bar(places, counts, bottom=below, color=colour, label=f"{split} ({counts.sum():,})", width=0.75)
        below = below + counts
    for place, count in zip(places, below, strict=True):
        axes.annotate(f"{count:,}", (place, count), (0, 2), textcoords="offset points", ha="center")
    axes.set_xticks(places, faces.emotions)
    axes.set(xlabel="Emotion", ylabel="Faces")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@rc_context(THEME)
def leakage(faces: Faces) -> Figure:
    """The share of each emotion's test rows whose image stands in an earlier part too (see ``audit``)."""
    figure, axes = _figure(6.4, 3.0)
    clean, places = audit.clean_rows(faces), np.arange(len(faces.emotions))
    for code, colour, aside in ((1, ORANGE, -0.19), (2, GREEN, 0.19)):
        of = [clean[(faces.split == code) & (faces.labels == label)] for label in places]
        shares = [100 * float(np.mean(~rows)) if len(rows) else 0.0 for rows in of]
        axes.bar(places + aside, shares, color=colour, label=SPLITS[code], width=0.38)
    axes.set_xticks(places, faces.emotions)
    axes.set(xlabel="Emotion", ylabel="Leaked rows (%)", ylim=(0, max(1.0, axes.get_ylim()[1])))
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@rc_context(THEME)
def taggers(faces: Faces, counts: np.ndarray) -> Figure:
    """How many of FER+'s ten taggers chose FER2013's label, as shares of each emotion's PrivateTest rows.

    ``counts`` (n, 10) of the same faces (``ferplus.counts_for``).
    """
    figure, axes = _figure(6.4, 3.4)
    rows, places = faces.rows("PrivateTest"), np.arange(len(faces.emotions))
    agree, labels = ferplus.agreement(counts, faces.labels)[rows], faces.labels[rows]
    left, colours = np.zeros(len(places)), seaborn.color_palette("Blues_r", len(ferplus.LEVELS))
    for (level, (low, high)), colour in zip(ferplus.LEVELS.items(), colours, strict=True):
        inside = (low <= agree) & (agree <= high)
        shares = np.array([100 * inside[labels == label].mean() for label in places])
        axes.barh(places, shares, left=left, color=colour, label=f"{level} of 10", height=0.75)
        left = left + shares
    axes.set_yticks(places, faces.emotions)
    axes.invert_yaxis()
    axes.set(xlabel="Rows of PrivateTest (%)", ylabel="FER2013's label", xlim=(0, 100))
    axes.grid(visible=False)
    figure.legend(loc="outside upper left", ncols=4)
    return figure


def _pictures(rows: list[list], emotions: Sequence[str], limits: tuple[float, float]) -> Figure:
    """A table of grey pictures, (48, 48) or None: one column an emotion."""
    figure, grid = _figure(6.6, 0.3 + 0.95 * len(rows), len(rows), len(emotions), squeeze=False)
    for axes, picture in zip(grid.flat, (picture for row in rows for picture in row), strict=True):
        axes.set_axis_off()
        if picture is not None:
            axes.imshow(picture, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    for axes, emotion in zip(grid[0], emotions, strict=True):
        axes.set_title(emotion, loc="center", fontweight="normal")
    return figure


@rc_context(THEME)
def sample_faces(faces: Faces, per_class: int = 4, seed: int = 0) -> Figure:
    """Faces drawn at random, one column an emotion (Saravanan et al. 2019, Fig. 1). Shows people where they are people.

    A class with fewer than ``per_class`` faces leaves gaps. Raises ValueError for ``per_class`` below 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class: found {per_class}, expected 1 or more")
    random = np.random.default_rng(seed)
    columns = []
    for label in range(len(faces.emotions)):
        rows = np.flatnonzero(faces.labels == label)
        rows = random.choice(rows, min(per_class, len(rows)), replace=False)
        columns.append([faces.images[row] for row in rows] + [None] * (per_class - len(rows)))
    return _pictures([list(row) for row in zip(*columns, strict=True)], faces.emotions, (0, 255))


@rc_context(THEME)
def mean_faces(faces: Faces, least: int = 50) -> Figure:
    """The mean face of each emotion, on one grey scale from the darkest to the lightest mean pixel.

    No person can be made out in the mean of hundreds; with fewer than ``least`` faces in a class one might, so that
    class stays empty.
    """
    rows = [np.flatnonzero(faces.labels == label) for label in range(len(faces.emotions))]
    means = [faces.images[r].mean(axis=0, dtype=np.float64) if len(r) >= least else None for r in rows]
    shown = [mean for mean in means if mean is not None] or [np.array([0.0, 255.0])]
    return _pictures([means], faces.emotions, (min(m.min() for m in shown), max(m.max() for m in shown)))


@rc_context(THEME)
def learning_curves(records: list[dict], reported: float | None = None) -> Figure:
    """Training and test accuracy after each epoch: a thin line for each seed, a thick one for their mean.

    ``records`` are runs of one experiment that differ in nothing but the seed; ``reported`` is the paper's accuracy in
    percent. The mean ends where the first run ends: beyond, it would be a mean over the runs that lived. Raises
    ValueError where no record has a history (a tree has none).
    """
    histories = [record["history"] for record in records if record["history"]]
    if not histories:
        raise ValueError("records: found none with a history, expected runs of a network")
    rows = records[0]["parameters"].get("evaluation_rows", "PublicTest+PrivateTest")
    figure, axes = _figure(4.8, 3.9)
    shortest = min(map(len, histories))
    marker = "o" if shortest == 1 else None
    for key, colour, label in (("accuracy", GREY, "training rows"), (f"{rows}_accuracy", BLUE, rows)):
        curves = [[entry[key] for entry in history] for history in histories]
        for curve in curves:
            axes.plot(range(1, len(curve) + 1), curve, color=colour, lw=0.8, alpha=0.55, marker=marker, ms=3)
        mean = np.mean([curve[:shortest] for curve in curves], axis=0)
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
    counts = np.asarray(counts)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure, axes = _figure(4.8, 3.9)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 0.55 else "0.15" if counts[row, column] else "0.75"
        axes.text(column, row - 0.12, f"{100 * value:.0f} %", ha="center", va="center", color=colour)
        axes.text(column, row + 0.26, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=6.5)
    axes.set_xticks(range(len(emotions)), emotions, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(emotions)), emotions)
    axes.set(xlabel="Predicted", ylabel="True")
    axes.grid(visible=False)
    return figure


@rc_context(THEME)
def pixel_importance(importances: np.ndarray) -> Figure:
    """Where a tree looks: importances (2304,) of the pixels of a 48 x 48 face, which add up to 1, as a picture."""
    figure, axes = _figure(4.0, 3.2)
    share = 100 * np.asarray(importances, np.float64).reshape(48, 48)
    picture = axes.imshow(share, cmap="cividis", norm=PowerNorm(0.5, vmin=0))
    axes.set_axis_off()
    figure.colorbar(picture, ax=axes, label="Share of the impurity removed (%)")
    return figure


@rc_context(THEME)
def accuracy_overview(measured) -> Figure:
    """Reported against measured accuracy, one line for each row of ``summaries.accuracies``.

    A diamond is the paper's value, a dot the mean over seeds with its t interval (thick), small rings the seeds; the
    thin line is the Wilson interval of the test set's sampling.
    """
    figure, axes = _figure(7.2, 1.1 + 0.42 * len(measured))
    for place, row in enumerate(measured.to_dict("records")):
        axes.plot([100 * row["wilson_low"], 100 * row["wilson_high"]], [place] * 2, color=BLUE, lw=1.2, alpha=0.7)
        axes.plot(
            [100 * row["low"], 100 * row["high"]], [place] * 2, color=BLUE, lw=5, alpha=0.45, solid_capstyle="butt"
        )
        axes.plot(
            [100 * a for a in row["accuracies"]], [place] * row["seeds"], "o", mfc="none", mec=BLUE, ms=4, mew=0.7
        )
        axes.plot(100 * row["mean"], place, "o", color=BLUE, ms=6)
        if np.isfinite(row["reported"] or np.nan):  # pandas makes NaN of None where a column holds numbers
            axes.plot(row["reported"], place, "D", mfc="none", mec=ORANGE, mew=1.6, ms=7)
    alone = ~measured["title"].duplicated(keep=False)
    labels = measured["title"].where(alone, measured["title"] + "\n" + measured["computed_by"])
    axes.set_yticks(range(len(measured)), labels)
    axes.set(xlabel="Accuracy (%)", ylim=(len(measured) - 0.5, -0.5))
    axes.set_xlim(0, min(100, axes.get_xlim()[1]))
    handles = [
        axes.plot([], [], "D", mfc="none", mec=ORANGE, mew=1.6, ms=7)[0],
        axes.plot([], [], "o", color=BLUE, ms=6)[0],
        axes.plot([], [], color=BLUE, lw=5, alpha=0.45)[0],
        axes.plot([], [], color=BLUE, lw=1.2, alpha=0.7)[0],
    ]
    labels = ["reported", "ours, mean over seeds", "95 % t interval over seeds", "95 % Wilson interval of the test set"]
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure

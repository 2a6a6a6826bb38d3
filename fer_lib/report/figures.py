"""Figures of results, networks and the data: each function returns a matplotlib Figure and draws on nothing else."""

from __future__ import annotations

import base64
import html
import io
import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from ..data import SPLITS, Faces, audit, ferplus
from ..data.emotions import FER2013
from ..evaluation import records
from ..markdown import SHOWN, study

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
BLUE, ORANGE, GREEN = "#0173b2", "#de8f05", "#029e73"
"""Colours that any kind of colour vision tells apart (of seaborn's "colorblind", without the wait for seaborn)."""
GREY = "0.45"
DARK = 0.55
"""Shares above it have so dark a cell that its text is white."""
FEW = 10
"""Fewer predictions than this are no point of a reliability diagram."""
LAYER_COLOURS = {"Conv2D": BLUE, "Dense": GREEN, "MaxPooling2D": ORANGE}
LAYER_NAMES = {"Conv2D": "Convolution", "MaxPooling2D": "Max pooling", "BatchNormalization": "Batch normalisation"}
CONDITIONS = {
    "size": "Side of the face (pixels)",
    "light": "Light (times)",
    "blur": "Blur (pixels)",
    "hidden": "Hidden from below (share)",
    "covered": "Covered by another face (share)",
    "tilt": "Tilt (degrees)",
    "yaw": "Turned away (degrees)",
    "detail": "Detail kept by the camera (share)",
    "jpeg": "Quality of JPEG",
}
DETECTORS = {"blaze": BLUE, "tuned": ORANGE, "usual": GREEN, "paper": "#cc78bc"}
FOUND_CAPTION = (
    "The higher a line stays, the less the condition costs that detector. Faces found at first sight, one condition "
    "changed at a time; bands are 95 % intervals over the faces."
)
RECOGNISED_CAPTION = (
    "Where a line falls below the dashed one, faces are missed or cut out badly. Faces found and recognised, of all "
    "faces, by detector; dashed: recognised where the face is cut at its true place, upright as the frame is, without "
    "any detector. Bands are 95 % intervals over the faces."
)


class _Figure(Figure):
    """A figure that a notebook displays as a picture without pyplot."""

    photographs = False  # whether it shows photographs, whose colours a dark page must leave alone

    def _repr_png_(self, dpi: int = 160) -> bytes:
        usual, self.dpi = self.dpi, dpi
        canvas = FigureCanvasAgg(self)
        canvas.draw()  # once: savefig would draw everything for the layout, and then again
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        self.dpi = usual
        small = io.BytesIO()  # with 256 colours, all that a chart or grey faces need, it is a third as large
        picture.quantize(256, dither=Image.Dither.NONE).save(small, "png")
        return small.getvalue()


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs):
    """A figure of this size in inches and its axes, in the project's style."""
    figure = _Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **kwargs)


def captioned(figure: Figure, caption: str, alternative: str = "", narrow: Figure | None = None):
    """The figure as an HTML element with a caption: what notebooks display.

    ``alternative`` says in words what the picture shows; where it is empty the caption does. ``narrow``: the same
    figure for a telephone's screen.
    """
    from IPython.display import HTML  # here, so that a machine without Jupyter can draw

    text = html.escape(alternative or caption)
    small = f'<source media="(max-width: 44rem)" srcset="{_source(narrow)}">' if narrow else ""
    width = round(figure.get_figwidth() * 100)
    kinds = (
        ["photographs" if getattr(figure, "photographs", False) else "chart"]
        + ["half"] * (width <= 500)
        + ["wide"] * (width > 800)
    )
    return HTML(
        f'<figure class="{" ".join(kinds)}"><picture>{small}<img src="{_source(figure)}" width="{width}" alt="{text}">'
        f"</picture><figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _source(figure: Figure) -> str:
    return f"data:image/png;base64,{base64.b64encode(figure._repr_png_()).decode()}"


@rc_context(THEME)
def learning_curves(records: list[dict], reported: float | None = None) -> Figure:
    """Training and test accuracy after each epoch: a thin line for each seed, a thick one for their mean, and a band
    from the lowest to the highest seed.

    ``records`` are runs of one experiment that differ in nothing but the seed; ``reported`` is the paper's accuracy in
    percent. Mean and band end where the first run ends: beyond, they would be of the runs that lived. Of more than
    ``SHOWN`` runs the first have a line of their own; mean and band are of all. Raises ValueError where no record has a
    history (a tree has none).
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
        for curve in curves[:SHOWN]:
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


def confusion_matrix(counts: np.ndarray, emotions: Sequence[str] = FER2013) -> Figure:
    """Recall of each emotion and what it is mistaken for: each row of ``counts`` divided by its sum.

    ``counts`` (k, k) integers, true emotion down, predicted across, seeds added up. Each cell gives the share of its
    row and, small, the count.
    """
    return _matrix(counts, counts.sum(axis=1, keepdims=True), emotions, [[f"{n:,}" for n in row] for row in counts])


def confusion_matrix_as_published(
    counts: np.ndarray, reported: Sequence[float | None] = (), emotions: Sequence[str] = FER2013
) -> Figure:
    """Saravanan et al. 2019, Fig. 4: the counts as their released notebook divides them.

    It divides the cell (true i, predicted j) by the number of faces of emotion j, not i, so that rows do not add up to
    one: right on the diagonal, wrong everywhere else. ``reported`` (k,), in percent: the paper's diagonal, in brackets
    under ours.
    """
    below = np.full(counts.shape, "", object)
    for place, percent in enumerate(reported):
        below[place, place] = f"({percent:g} %)" if percent is not None else ""
    return _matrix(counts, counts.sum(axis=1), emotions, below)


@rc_context(THEME)
def _matrix(counts: np.ndarray, totals: np.ndarray, emotions: Sequence[str], below: Sequence[Sequence[str]]) -> Figure:
    """``counts`` divided by ``totals`` in percent, each cell with the text ``below`` under its share."""
    figure, axes = canvas(4.8, 3.9)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    _heat(axes, shares, emotions, rotation=30)
    for (row, column), value in np.ndenumerate(shares):
        colour = "white" if value > DARK else "0.15" if counts[row, column] else "0.75"
        axes.text(column, row - 0.12, f"{100 * value:.0f} %", ha="center", va="center", color=colour)
        axes.text(column, row + 0.26, below[row][column], ha="center", va="center", color=colour, fontsize=6.5)
    axes.set_yticks(range(len(emotions)), emotions)
    axes.set(xlabel="Predicted", ylabel="True")
    return figure


def _heat(axes, shares: np.ndarray, emotions: Sequence[str], rotation: int, **kwargs) -> None:
    """Shares of 0 to 1 as blue cells, an emotion for each column."""
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, **kwargs)
    axes.set_xticks(range(len(emotions)), emotions, rotation=rotation, ha="right", rotation_mode="anchor")
    axes.grid(visible=False)


@rc_context(THEME)
def per_class(models: list[tuple[str, np.ndarray]], emotions: Sequence[str] = FER2013) -> Figure:
    """Precision, recall and F1 of each emotion, in percent: a line for each model, three fields side by side.

    ``models``: names with (3, k) arrays as ``pooled.per_class`` gives them; NaN where there is nothing to divide.
    """
    figure, panels = canvas(10.4, 1.7 + 0.32 * len(models), 1, 3, sharey=True)
    for place, (axes, title) in enumerate(zip(panels, ("Precision", "Recall", "F1"))):
        values = np.array([scores[place] for _, scores in models])
        _heat(axes, values, emotions, rotation=40, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            text, colour = "–" if np.isnan(value) else f"{100 * value:.0f}", "white" if value > DARK else "0.15"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        axes.set_title(title, pad=38)
        top = axes.secondary_xaxis("top")
        top.set_xticks(range(len(emotions)), emotions, rotation=40, ha="left", rotation_mode="anchor")
        top.tick_params(length=0)
        top.spines["top"].set_visible(False)
    panels[0].set_yticks(range(len(models)), [textwrap.fill(name, 32) for name, _ in models])
    return figure


@rc_context(THEME)
def reliability(models: list[tuple[str, dict]]) -> Figure:
    """Accuracy of the predictions made with about the same confidence, a field for each model.

    ``models``: names with what ``pooled.reliability`` gives. On the dashed line a network is right as often as it
    is sure; below it, it is too sure. A dot's area tells how many predictions it stands for; ``FEW`` at least.
    """
    columns, rows = min(4, len(models)), -(-len(models) // 4)
    figure, panels = canvas(2.4 * columns, 2.45 * rows + 0.2, rows, columns, sharex=True, sharey=True, squeeze=False)
    panels[0, 0].set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))  # of all: they are shared
    panels[0, 0].xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes, (name, curve) in zip(panels.flat, models):
        axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
        enough = curve["counts"] >= FEW
        confidence, accuracy, counts = curve["confidence"][enough], curve["accuracy"][enough], curve["counts"][enough]
        area = 4 + 120 * counts / max(1, counts.sum())
        axes.plot(confidence, accuracy, color=BLUE, lw=1.2)
        axes.scatter(confidence, accuracy, s=area, color=BLUE, clip_on=False, zorder=3)
        axes.set_title(textwrap.fill(name, 27), fontsize=8.5)
        error = 100 * np.mean(curve["errors"])
        axes.text(0.03, 0.95, f"ECE {error:.1f} %", va="top", transform=axes.transAxes, fontsize=8.5)
    for axes in panels.flat[len(models) :]:
        axes.set_visible(False)
    figure.supxlabel("Confidence of the prediction", fontsize=10)
    figure.supylabel("Accuracy", fontsize=10)
    return figure


@rc_context(THEME)
def pixel_importance(importances: np.ndarray) -> Figure:
    """Where a tree looks: importances (2304,) of the pixels of a 48 x 48 face, which add up to 1, as a picture."""
    figure, axes = canvas(4.0, 3.2)
    share = 100 * np.asarray(importances, np.float64).reshape(48, 48)
    picture = axes.imshow(share, cmap="cividis", norm=PowerNorm(0.5, vmin=0))
    axes.set_axis_off()
    figure.colorbar(picture, ax=axes, label="Share of the impurity removed (%)")
    return figure


VERDICT_COLOURS = {
    "reproduced": ("#0a7d57", "#5fd3ac"),
    "not reproduced": ("#c0392b", "#ff9c80"),
    "unstable": ("#8e44ad", "#d7a6ee"),
    "inconclusive": ("#8a6500", "#e3bf5b"),
    "not testable": ("#6b7480", "#a3adb9"),
}
"""Of each verdict on white and on dark paper; its word always stands beside it."""
DARK_PAPER = {
    "axes.edgecolor": "0.85",
    "axes.facecolor": "#0d1117",
    "axes.labelcolor": "0.85",
    "figure.facecolor": "#0d1117",
    "grid.color": "0.22",
    "text.color": "0.85",
    "xtick.color": "0.85",
    "ytick.color": "0.85",
}


def forest(judged: list[dict], dark: bool = False, narrow: bool = False) -> Figure:
    """The accuracies that the papers report for models of their own against ours, coloured by verdict.

    A line for each claim of ``judged`` (see ``judge.judge_claims``) that has a label. A diamond is the paper's figure,
    rings are our seeds, a dot their mean and the bar the 95 % interval of one new run, by which the claim was judged;
    a figure that collapsed networks score has rings alone. ``dark``: for dark paper; ``narrow``: for a telephone,
    without the figures in numbers. Raises ValueError where no claim has a label.
    """
    lines = [line for line in judged if line["label"]]
    if not lines:
        raise ValueError("judged: found no claim with a label, expected those of the papers' own accuracies")
    with rc_context(THEME | (DARK_PAPER if dark else {})):
        papers = list(dict.fromkeys(study(line["id"]) for line in lines))
        rows = [row for paper in papers for row in [paper, *(line for line in lines if study(line["id"]) == paper)]]
        figure, axes = canvas(4.2 if narrow else 7.2, (1.5 if narrow else 1.1) + 0.3 * len(rows))
        columns = {"verdict": 8} if narrow else {"paper": 8, "ours": 52, "verdict": 100}  # points right of the axes
        ink = "0.85" if dark else "0.15"
        for place, line in enumerate(rows):
            if line in papers:
                axes.axhline(place, color=axes.get_facecolor(), lw=3)  # no line of the grid: nothing stands on it
                continue
            colour = VERDICT_COLOURS[line["verdict"]][dark]
            learned = line["interval"] and line["unit"] == "%"
            if learned:
                axes.hlines(place, *line["interval"], color=colour, lw=6, alpha=0.4)
                axes.plot(line["measured"], place, "o", color=colour, ms=6)
            axes.plot(line["values"], [place] * len(line["values"]), "o", mfc="none", mec=colour, ms=4, mew=0.7)
            axes.plot(line["reported"], place, "D", mfc="none", mec=ink, mew=1.4, ms=6.5)
            counted = f"{line['measured']} of {line['seeds']}" if line["unit"] == "seeds" else ""
            words = {
                "paper": f"{line['reported']:.{2 if line['reported'] % 1 else 0}f}",
                "ours": f"{line['measured']:.2f}" if learned else counted,
                "verdict": line["verdict"],
            }
            for head, points in columns.items():
                bold = {"colour": colour, "weight": "bold"} if head == "verdict" else {"colour": ink}
                _beside(axes, place, points, words[head], **bold)
        for head, points in columns.items():
            _beside(axes, 0, points, head, "0.65" if dark else GREY)
        axes.set_yticks(range(len(rows)), [row if row in papers else row["label"] for row in rows])
        for tick, row in zip(axes.get_yticklabels(), rows):
            tick.set_weight("bold" if row in papers else "normal")
        axes.set(xlabel="Accuracy on the test rows (%)", ylim=(len(rows) - 0.5, -0.6))
        key = {
            "paper": {"marker": "D", "mfc": "none", "mec": ink, "mew": 1.4, "ms": 6.5, "ls": ""},
            "one of our runs": {"marker": "o", "mfc": "none", "mec": ink, "ms": 4, "mew": 0.7, "ls": ""},
            "their mean": {"marker": "o", "color": ink, "ms": 6, "ls": ""},
            "95 % interval of a new run": {"color": ink, "lw": 6, "alpha": 0.4},
        }
        handles = [axes.plot([], [], label=name, **style)[0] for name, style in key.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=2 if narrow else 4, columnspacing=1.2)
    return figure


@rc_context(THEME)
def accuracy_overview(measured) -> Figure:
    """Reported against measured accuracy, one line for each row of ``pooled.accuracies``.

    A diamond, somewhat above the line, is the paper's value, a dot the mean over seeds with its t interval (thick),
    small rings the seeds; the thin line is the Wilson interval of the test set's sampling. Both values stand right.
    """
    figure, axes = canvas(8.8, 1.3 + 0.42 * len(measured))
    places, reported = np.arange(len(measured)), measured["reported"].astype(float)
    percent = 100 * measured[["mean", "low", "high", "wilson_low", "wilson_high"]]
    wilson, interval = percent[["wilson_low", "wilson_high"]], percent[["low", "high"]]
    axes.plot(reported, places - 0.25, "D", mfc="none", mec=ORANGE, mew=1.5, ms=5, label="reported")
    axes.plot(percent["mean"], places, "o", color=BLUE, ms=5, label="ours, mean over seeds")
    axes.hlines(places, *interval.values.T, color=BLUE, lw=5, alpha=0.45, label="95 % t interval over seeds")
    axes.hlines(places, *wilson.values.T, color=BLUE, lw=1.2, alpha=0.7, label="95 % Wilson interval of the test set")
    for place, (mean, low, high) in enumerate(percent[["mean", "low", "high"]].values):
        seeds = 100 * np.array(measured["accuracies"].iloc[place])
        axes.plot(seeds, [place] * len(seeds), "o", mfc="none", mec=BLUE, ms=4, mew=0.7)
        _beside(axes, place, 8, f"{mean:.2f}" + (f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""), BLUE)
        if np.isfinite(reported.iloc[place]):
            _beside(axes, place, 130, f"{reported.iloc[place]:.2f}", ORANGE)
    alone = ~measured["title"].duplicated(keep=False)
    axes.set_yticks(places, measured["title"].where(alone, measured["title"] + "\n" + measured["computed_by"]))
    axes.set(xlabel="Accuracy (%)", xlim=(0, min(100, axes.get_xlim()[1])), ylim=(len(measured) - 0.5, -0.6))
    axes.tick_params(labeltop=True)
    _beside(axes, -0.8, 8, "ours [t interval]", GREY)
    _beside(axes, -0.8, 130, "reported", GREY)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _beside(axes, y: float, points: float, text: str, colour, weight: str = "normal") -> None:
    """Words right of the axes, so many points from them."""
    axes.annotate(text, (1, y), (points, 0), ("axes fraction", "data"), "offset points", color=colour, va="center",
                  fontsize=8.5, weight=weight, annotation_clip=False)  # fmt: skip


@rc_context(THEME)
def conditions(lines: list[dict], what: str) -> Figure:
    """Of a ``survey.survey``, the shares of faces that each detector has "found", or that were "right_of_found",
    against each condition, with intervals; beside the latter those that are right at their true place."""
    figure, grid = canvas(9.6, 7.4, 3, 3, sharey=True)
    shown = list(dict.fromkeys(line["condition"] for line in lines))
    for axes, condition in zip(grid.flat, shown):
        here = [line for line in lines if line["condition"] == condition]
        levels = [line["level"] for line in here]
        curves = {name: (name, DETECTORS[name], "-") for name in here[0]["found"]}
        if what == "right_of_found":
            curves[None] = "cut at the true place", GREY, "--"
        for name, (label, colour, style) in curves.items():
            each = [records.share(line, what if name else "right", name) for line in here]
            shares, low, high = 100 * np.array(each).T
            axes.plot(levels, shares, style, marker="o", color=colour, markersize=3.5, label=label)
            axes.fill_between(levels, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set(xlabel=CONDITIONS[condition], ylim=(0, 100))
        if condition in ("size", "light", "detail", "jpeg"):
            axes.set_xscale("log")
            axes.set_xticks(levels, [f"{level:g}" for level in levels])
            axes.minorticks_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("Faces (%)")
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


@rc_context(THEME)
def network(layers: list[dict], title: str) -> Figure:
    """A network from its input down (Saravanan et al. 2019, Fig. 3): a block for each layer, wider for more channels.

    ``layers``: those that Keras built (``architectures.layers``). Right of each block the shape that it gives, its
    weights, and its share of the multiply-adds.
    """
    figure, axes = canvas(4.9, 0.8 + 0.23 * (len(layers) + 1))
    axes.set(xlim=(0, 10), ylim=(len(layers) + 0.6, -1.6))
    axes.set_axis_off()
    axes.set_title(title)
    for x, head in ((5.8, "output"), (8.0, "weights"), (10.0, "multiply-adds")):
        axes.text(x, -1.1, head, ha="right" if x > 6 else "center", va="center", color=GREY, fontsize=8)
    total = sum(layer["multiply_adds"] for layer in layers) or 1
    for place, layer in enumerate([{"kind": "Input", "details": "", "shape": [48, 48, 1]}, *layers]):
        kind, shape = layer["kind"], layer["shape"]
        width = 3.1 + 1.4 * min(1.0, math.log2(max(shape[-1], 2)) / 15)
        colour, alpha = (LAYER_COLOURS[kind], 0.25) if kind in LAYER_COLOURS else ("0.6", 0.18)
        block = FancyBboxPatch((2.3 - width / 2, place - 0.38), width, 0.76, boxstyle="round,pad=0,rounding_size=0.15",
                               fc=colour, ec="none", alpha=alpha)  # fmt: skip
        axes.add_patch(block)
        axes.text(2.3, place, _layer_label(layer), ha="center", va="center", fontsize=8)
        axes.text(5.8, place, "×".join(f"{side:,}" for side in shape), ha="center", va="center", fontsize=8)
        if layer.get("parameters"):
            axes.text(8.0, place, f"{layer['parameters']:,}", ha="right", va="center", fontsize=8)
        if layer.get("multiply_adds"):
            percent = f"{100 * layer['multiply_adds'] / total:.1f} %"
            axes.text(10.0, place, percent, ha="right", va="center", fontsize=8)
    return figure


def _layer_label(layer: dict) -> str:
    """A layer in a few words: "Convolution 3×3, same, ReLU"."""
    name = LAYER_NAMES.get(layer["kind"], layer["kind"])
    between = ", " if layer["kind"] == "Dense" else " "
    return between.join(filter(None, [name, layer["details"]]))


def network_in_words(layers: list[dict], title: str) -> str:
    """What ``network`` shows, as text for readers who cannot see it."""
    blocks = [f"{_layer_label(layer)}: {'×'.join(map(str, layer['shape']))}" for layer in layers]
    return f"{title}, from 48×48×1 grey levels: {'; '.join(blocks)}."


@rc_context(THEME)
def class_distribution(faces: Faces) -> Figure:
    """How many faces of each emotion, each bar divided into the three splits (Saravanan et al. 2019, Fig. 2)."""
    figure, axes = canvas(6.4, 3.4)
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
    figure, axes = canvas(6.4, 3.0)
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
    figure, axes = canvas(6.4, 3.4)
    rows, places = faces.rows("PrivateTest"), np.arange(len(faces.emotions))
    agree, labels = ferplus.agreement(counts, faces.labels)[rows], faces.labels[rows]
    left, colours = np.zeros(len(places)), colormaps["Blues_r"](np.linspace(0.1, 0.85, len(ferplus.LEVELS)))
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


@rc_context(THEME)
def _pictures(rows: list[list], emotions: Sequence[str], limits: tuple[float, float]) -> Figure:
    """A table of grey pictures, (48, 48) or None: one column an emotion."""
    figure, grid = canvas(6.6, 0.3 + 0.95 * len(rows), len(rows), len(emotions), squeeze=False)
    figure.photographs = True
    for axes, picture in zip(grid.flat, (picture for row in rows for picture in row), strict=True):
        axes.set_axis_off()
        if picture is not None:
            axes.imshow(picture, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    for axes, emotion in zip(grid[0], emotions, strict=True):
        axes.set_title(emotion, loc="center", fontweight="normal")
    return figure


@rc_context(THEME)
def film_strips(clips: np.ndarray, emotions: Sequence[str]) -> Figure:
    """Frames of clips, (k, t, 48, 48) uint8, one clip a row, named by its emotion; of films they show people."""
    figure, grid = canvas(6.6, 0.1 + 0.8 * len(clips), len(clips), clips.shape[1], squeeze=False)
    figure.photographs = True
    for row, clip, emotion in zip(grid, clips, emotions, strict=True):
        for axes, frame in zip(row, clip, strict=True):
            axes.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
        row[0].set_ylabel(emotion, rotation=0, ha="right", va="center")
    return figure


def sample_faces(faces: Faces, per_class: int = 4, seed: int = 0) -> Figure:
    """Randomly sampled faces, one column an emotion (Saravanan et al. 2019, Fig. 1). Of FER2013 they show people.

    A class with fewer than ``per_class`` faces leaves gaps. Raises ValueError for ``per_class`` below 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class: found {per_class}, expected 1 or more")
    random, columns = np.random.default_rng(seed), []
    for label in range(len(faces.emotions)):
        rows = np.flatnonzero(faces.labels == label)
        rows = random.choice(rows, min(per_class, len(rows)), replace=False)
        columns.append([*faces.images[rows], *[None] * (per_class - len(rows))])
    return _pictures([list(row) for row in zip(*columns, strict=True)], faces.emotions, (0, 255))


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
def climb(lines: list[dict], narrow: bool = False) -> Figure:
    """Accuracy on PublicTest rung by rung, from the ``climb.rungs`` that were run: a ring is a seed, a dot their mean,
    and a bar leads to each rung from the one that it changes: better blue, worse orange, else grey. A thin line is the
    interval of the change, over rows and, where it is known, seeds. ``narrow``: for a telephone, with each title above
    its bar."""
    run = [line for line in lines if line["group"]]
    figure, axes = canvas(4.2 if narrow else 7.6, 1.2 + (0.5 if narrow else 0.42) * len(run))
    titles = [line["title"] if line["number"] == "–" else f"{line['number']} {line['title']}" for line in run]
    for place, line in enumerate(run):
        colour = {"better": BLUE, "worse": ORANGE}.get(line["outcome"], GREY)
        axes.plot(100 * np.array(line["each"]), [place] * len(line["each"]), "o", mfc="none", mec=colour, ms=5, mew=0.8)
        axes.plot(100 * line["mean"], place, "o", color=colour, ms=6)
        if over := line.get("gain"):
            start, end = 100 * np.array(over["ends"])
            axes.hlines(place, start, end, color=colour, lw=4, alpha=0.4)
            axes.plot(start, place, "|", color=colour, ms=9)
            axes.hlines(place, *(start + 100 * np.array(over["judged_by"])), color=colour, lw=0.8)
        change = f" ({100 * over['difference']:+.2f})" if over else ""
        _beside(axes, place, 8, f"{100 * line['mean']:.2f}{change}", colour)
        if narrow:
            axes.text(
                0.01, place - 0.45, titles[place], transform=axes.get_yaxis_transform(), fontsize=8.5, va="center"
            )
    axes.set_yticks(range(len(run)), [""] * len(run) if narrow else titles)
    axes.set(xlabel="Accuracy on PublicTest (%)", ylim=(len(run) - 0.5, -0.7 if narrow else -0.5))
    return figure


@rc_context(THEME)
def gain_by_size(sizes: list[dict]) -> Figure:
    """The accuracy of ensembles (``ensembles.by_size``) against how many networks vote: mean, least and best."""
    figure, axes = canvas(4.8, 3.4)
    x, mean, least, best = ([line[key] for line in sizes] for key in ("size", "mean", "least", "best"))
    axes.fill_between(
        x, least, best, color=BLUE, alpha=0.2, lw=0, label="from the worst to the best choice of networks"
    )
    axes.plot(x, mean, "o-", color=BLUE, ms=4, label="mean of the ensembles of a size")
    axes.set(xlabel="Networks that vote", ylabel="Accuracy on PublicTest")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    figure.legend(loc="outside upper left")
    return figure

"""Pictures of the causes: one function a figure, drawn as the report's are (``fer_lib.report.figures``)."""

from __future__ import annotations

import math
import textwrap
from itertools import cycle, groupby, product

import numpy as np
import pandas as pd
import seaborn
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ...data.emotions import FER2013
from ..figures import BLUE, GREEN, GREY, ORANGE, THEME, canvas
from . import collapse

KINDS = {"as published": ORANGE, "loss from logits": BLUE, "pixels of another scale": GREEN}
"""What a run was trained with, by its colour in ``courses``."""
SETTINGS = {"loss: clipped": ORANGE, "loss: logits": BLUE, "collapsed": ORANGE, "not collapsed": BLUE}


@rc_context(THEME)
def constant_classifiers(counts: np.ndarray, printed: list[tuple[str, float]]) -> Figure:
    """Accuracy of predicting one emotion for every test row, a bar an emotion, with printed accuracies as dashed lines.

    ``counts`` (7,) rows of each emotion; ``printed``: where, and the accuracy in percent.
    """
    figure, axes = canvas(6.4, 3.6)
    shares = 100 * counts / counts.sum()
    axes.bar(range(len(shares)), shares, color=BLUE, width=0.7)
    for place, count in enumerate(counts):
        axes.annotate(f"{count:,}", (place, 0), (0, 3), textcoords="offset points", ha="center", color="white")
    for _, alike in groupby(sorted(value for _, value in printed), key=lambda value: round(value, 1)):
        value = next(alike)  # the others are the same figure with more digits
        axes.axhline(value, color=ORANGE, ls="--", lw=1.3)
        axes.text(1.01, value, f"printed: {value:.2f}", va="center", transform=axes.get_yaxis_transform())
    axes.set_xticks(range(len(shares)), FER2013)
    axes.set(
        xlabel="Emotion predicted for every row", ylabel="Accuracy on both tests (%)", ylim=(0, 1.12 * shares.max())
    )
    axes.grid(visible=False, axis="x")
    return figure


@rc_context(THEME)
def loss_line(losses: pd.DataFrame) -> Figure:
    """Loss against accuracy on both tests: the line of certain predictions, the released values, our runs.

    ``losses`` as ``collapse.losses`` gives them; it may be empty.
    """
    figure, axes = canvas(6.4, 3.9)
    ends = np.array([0.0, 1.0])
    axes.plot(100 * ends, collapse.certain_loss(ends), color=GREY, lw=1.2, label="certain of every prediction")
    if len(losses):
        collapsed = losses["emotion"].notna()
        kinds = ((collapsed, ORANGE, "our runs, collapsed"), (~collapsed, BLUE, "our runs, not collapsed"))
        for chosen, colour, label in (kind for kind in kinds if kind[0].any()):
            x, y = 100 * losses["accuracy"][chosen], losses["loss"][chosen]
            axes.plot(x, y, "o", color=colour, ms=6, alpha=0.6, label=label)
    _, accuracies, stored = zip(*collapse.RELEASED)
    axes.plot(accuracies, stored, "D", mfc="none", mec="black", mew=1.3, ms=9, label="stored in the released notebooks")
    axes.set(xlabel="Accuracy on both tests (%)", ylabel="Loss on both tests (nats)", xlim=(0, 100), ylim=(0, 17))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@rc_context(THEME)
def courses(families: list[list[list[dict]]], counts: np.ndarray) -> Figure:
    """Test accuracy after each epoch, a panel a network (three in a row), a line a seed, coloured by ``KINDS``.

    ``families``: groups of runs that differ in one thing. Dotted lines are the rates of the emotions, (7,) ``counts``.
    """
    columns = min(3, len(families))
    rows = math.ceil(len(families) / columns)
    figure, panels = canvas(0.6 + 3.3 * max(2, columns), 0.2 + 3.5 * rows, rows, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(families) :]:
        axes.remove()
    rates, used = 100 * counts / counts.sum(), {}
    for axes, groups in zip(panels.flat, families):
        for rate in rates:
            axes.axhline(rate, color="0.75", lw=0.9, ls=":")
        for record in (record for group in groups for record in group):
            curve = [100 * entry[f"{collapse.BOTH}_accuracy"] for entry in record["history"]]
            other = "loss from logits" if record["parameters"]["loss"] == "logits" else "pixels of another scale"
            kind = "as published" if collapse.as_published(record) else other
            used[kind] = Line2D([], [], color=KINDS[kind], lw=1.6)
            axes.plot(range(1, len(curve) + 1), curve, color=KINDS[kind], lw=1.3, alpha=0.65, marker="o", ms=2.5)
        axes.set(xlabel="Epoch", title=textwrap.fill(groups[0][0]["title"], 32))
        axes.title.set_fontweight("normal")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = {}  # rates that lie close together share a line of text
    for code in np.argsort(rates):
        near = next((rate for rate in names if abs(rate - rates[code]) < 2.2), rates[code])
        names.setdefault(near, []).append(FER2013[code])
    last = [panels.flat[min(first + columns, len(families)) - 1] for first in range(0, len(families), columns)]
    for axes, (rate, emotions) in product(last, names.items()):
        place = {"va": "center", "transform": axes.get_yaxis_transform()}
        axes.text(1.01, rate, ", ".join(emotions), fontsize=7.5, color="0.4", **place)
    for axes in panels[:, 0]:
        axes.set(ylabel="Accuracy on both tests (%)")
    panels[0][0].set_ylim(0, max(32, panels[0][0].get_ylim()[1]))
    figure.legend(used.values(), used.keys(), loc="outside upper left", ncols=3)
    return figure


@rc_context(THEME)
def first_steps(sweep: list[dict], traces: dict[str, np.ndarray], by_collapse: bool = False) -> Figure:
    """Each quantity (down) after each step, a column for each input scale, a thin line for each setting.

    ``sweep`` and ``traces`` as a record has them (see ``records.traces``). Colour tells the loss; ``by_collapse``:
    whether the setting collapsed in the end, and thick lines are the medians of those that did and did not. Lines are
    full at the highest learning rate and dashed below. Loss and gradient are on scales that are logarithmic down to 1
    and 0.001, and linear below, so that 0 has a place.
    """
    scales = list(dict.fromkeys(line["input_scale"] for line in sweep))
    rates = sorted({line["learning_rate"] for line in sweep}, reverse=True)
    kinds = [f"loss: {line['loss']}" for line in sweep]
    if by_collapse:
        kinds = ["collapsed" if line["collapsed_to"] else "not collapsed" for line in sweep]
    down, across = len(collapse.TRACES), len(scales)
    size = {"width": 1.2 + 2.9 * across, "height": 1.2 + 1.45 * down}
    figure, axes = canvas(**size, rows=down, columns=across, sharex=True, sharey="row", squeeze=False)
    thin = {"lw": 0.6, "alpha": 0.35} if by_collapse else {"lw": 1.1, "alpha": 0.75}
    for (row, name), (column, scale) in product(enumerate(collapse.TRACES), enumerate(scales)):
        steps, marker = np.arange(1, traces[name].shape[1] + 1), "o" if traces[name].shape[1] == 1 else None
        here = [place for place, line in enumerate(sweep) if line["input_scale"] == scale]
        for place in here:
            style, colour = "-" if sweep[place]["learning_rate"] == rates[0] else "--", SETTINGS[kinds[place]]
            axes[row, column].plot(steps, traces[name][place], color=colour, ls=style, marker=marker, ms=3, **thin)
        for kind in dict.fromkeys(kinds[place] for place in here) if by_collapse else ():
            median = np.nanmedian(traces[name][[place for place in here if kinds[place] == kind]], axis=0)
            axes[row, column].plot(steps, median, color=SETTINGS[kind], lw=2.2, marker=marker)
    for row, (name, label) in enumerate(collapse.TRACES.items()):
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
    keys = {kind: Line2D([], [], color=SETTINGS[kind]) for kind in kinds}
    keys |= {f"rate {rate:g}": Line2D([], [], color="0.3", ls="-" if rate == rates[0] else "--") for rate in rates}
    figure.legend(keys.values(), keys.keys(), loc="outside upper center", ncols=len(keys))
    return figure


@rc_context(THEME)
def saturation(sweep: list[dict], traces: dict[str, np.ndarray]) -> Figure:
    """The gradient's norm against the share of saturated rows: a dot for each step, coloured by loss."""
    figure, axes = canvas(6.4, 3.6)
    kinds = [f"loss: {line['loss']}" for line in sweep]
    for kind in dict.fromkeys(kinds):
        of_loss = [place for place, other in enumerate(kinds) if other == kind]
        share, norm = traces["saturated"][of_loss].ravel(), traces["gradient_norm"][of_loss].ravel()
        axes.plot(share, norm, "o", color=SETTINGS[kind], ms=3.5, alpha=0.35, mew=0, label=kind)
    axes.set_yscale("symlog", linthresh=0.001)
    axes.set_ylim(bottom=-0.0005)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="Rows of the batch so sure that the clip is reached", ylabel="Norm of the gradient")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _ranked(names: list[str], label: str, above: float):
    """A figure with a line for each name, the first on top, and so many inches above them; and its axes.

    It is as wide as the longest name demands, so that the axes have room for theirs.
    """
    longest = max(len(part) for name in names for part in name.split("\n"))
    figure, axes = canvas(max(7.0, 4.0 + 0.075 * longest), above + 0.34 * len(names))
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
    return figure, axes


@rc_context(THEME)
def forest(lines: list[tuple[str, tuple[float, float, float]]], label: str, zero: bool = True) -> Figure:
    """A value with its interval a line, such as differences in points; values are fractions, drawn in percent.

    An interval with NaN ends is left out; ``zero`` marks no difference.
    """
    figure, axes = _ranked([name for name, _ in lines], label, 0.9)
    if zero:
        axes.axvline(0, color=GREY, lw=1)
    for place, (_, (value, low, high)) in enumerate(lines):
        axes.plot([100 * low, 100 * high], [place] * 2, color=BLUE, lw=4, alpha=0.4, solid_capstyle="butt")
        axes.plot(100 * value, place, "o", color=BLUE, ms=6)
    return figure


@rc_context(THEME)
def dumbbells(lines: list[tuple[str, float, float, bool]], names: tuple[str, str], label: str) -> Figure:
    """Two accuracies a line, joined: (label, first, second, control); a control is drawn grey."""
    figure, axes = _ranked([name for name, *_ in lines], label, 1.1)
    for place, (_, first, second, control) in enumerate(lines):
        axes.plot([100 * first, 100 * second], [place] * 2, color="0.75", lw=2, zorder=1)
        for value, colour in ((first, BLUE), (second, ORANGE)):
            axes.plot(100 * value, place, "o", color=GREY if control else colour, ms=7, alpha=0.6 if control else 1)
    kinds = list(zip(names, (BLUE, ORANGE)))
    if any(control for *_, control in lines):
        kinds.append(("collapsed: a control", GREY))
    for name, colour in kinds:
        axes.plot([], [], "o", color=colour, ms=7, label=name)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@rc_context(THEME)
def near_duplicates(bands: list[dict]) -> Figure:
    """Of ``rows.by_correlation``: the share with the same label, and what ease and memory are worth, by correlation."""
    figure, (left, right) = canvas(9, 3.6, 1, 2)
    places, names = np.arange(len(bands)), [f"{line['low']:.2f}\n{line['n']} rows" for line in bands]
    shares = np.array([(line["agree"] / line["n"], *line["interval"]) for line in bands]) * 100
    left.errorbar(places, shares[:, 0], np.abs(shares[:, 1:].T - shares[:, 0]), fmt="o", color=BLUE)
    left.axhline(100 * bands[0]["chance"], color=GREY, ls="--", lw=1)
    left.set(ylabel="Same label as its partner (%)", ylim=(0, 100))
    for shift, kind, colour in ((-0.12, "ease", BLUE), (0.12, "memory", ORANGE)):
        values = 100 * np.array([line[kind] for line in bands])
        label = {"ease": "easier", "memory": "memory"}[kind]
        right.errorbar(
            places + shift, values[:, 0], np.abs(values[:, 1:].T - values[:, 0]), fmt="o", color=colour, label=label
        )
    right.axhline(0, color=GREY, lw=1)
    right.set(ylabel="Above rows without a partner (points)")
    figure.legend(loc="outside upper right", ncols=2)
    for axes in (left, right):
        axes.set_xticks(places, names, fontsize=7)
        axes.set_xlabel("Correlation with the nearest row of an earlier part, from")
    return figure


@rc_context(THEME)
def training_and_test(groups: list[tuple[list[dict], str, str]]) -> Figure:
    """Training (dashed) and test accuracy (whole) after each epoch, the mean over seeds, a colour a group.

    ``groups``: each with the rows it is scored on and its title.
    """
    figure, axes = canvas(10.0, 4.0)
    for (group, scored, title), colour in zip(groups, cycle(seaborn.color_palette("colorblind"))):
        shortest = min(len(record["history"]) for record in group)
        epochs = np.arange(1, shortest + 1)
        for key, style, label in (("accuracy", "--", None), (f"{scored}_accuracy", "-", textwrap.fill(title, 34))):
            mean = np.mean([[100 * e[key] for e in record["history"][:shortest]] for record in group], axis=0)
            axes.plot(epochs, mean, style, color=colour, lw=1.8, label=label, marker="o" if shortest == 1 else None)
    axes.set(xlabel="Epoch", ylabel="Accuracy (%)", ylim=(0, 100))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right upper", labelspacing=0.9)
    return figure


@rc_context(THEME)
def agreement(measured: list[tuple[str, dict]]) -> Figure:
    """Accuracy by how many of ten taggers chose the label, with Wilson intervals, a line a group.

    ``measured``: titles, and levels as ``rows.label_noise`` gives them.
    """
    figure, axes = canvas(8.6, 3.9)
    for number, ((title, levels), colour) in enumerate(zip(measured, cycle(seaborn.color_palette("colorblind")))):
        parts = list(levels.items())[::-1]
        places = np.arange(len(parts)) + 0.06 * (number - (len(measured) - 1) / 2)
        middle = np.array([100 * part["accuracy"] for _, part in parts])
        ends = 100 * np.array([part["interval"] for _, part in parts]).T
        label = textwrap.fill(title, 34)
        axes.errorbar(places, middle, np.abs(ends - middle), color=colour, marker="o", lw=1.6, capsize=2, label=label)
        axes.set_xticks(range(len(parts)), [f"{level}\n({part['n']:,} rows)" for level, part in parts])
    axes.set(xlabel="Taggers of ten who chose FER2013's label", ylabel="Accuracy on PrivateTest (%)", ylim=(0, 100))
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside right upper", labelspacing=0.9)
    return figure


@rc_context(THEME)
def fillings(lines: list[dict], reported: dict[str, float]) -> Figure:
    """Accuracies of each filling on PublicTest and PrivateTest, the band of their means shaded, reported ones dashed.

    ``lines`` as ``networks.fillings`` gives them, a ``name`` added; ``reported`` in percent by the name of the rows.
    """
    figure, panels = canvas(7.2, 1.3 + 0.4 * len(lines), 1, 2, sharey=True)
    for axes, (rows, value), colour in zip(panels, reported.items(), (ORANGE, GREEN)):
        means = [100 * line[rows]["mean"] for line in lines]
        axes.axvspan(min(means), max(means), color=colour, alpha=0.12, lw=0)
        for place, line in enumerate(lines):
            spread, (low, high) = line[rows], (100 * line[rows][end] for end in ("low", "high"))
            accuracies = [100 * accuracy for accuracy in spread["accuracies"]]
            axes.plot(accuracies, [place] * len(accuracies), "o", mfc="none", mec=colour, ms=4)
            axes.plot([low, high], [place] * 2, color=colour, lw=4, alpha=0.4)
            axes.plot(100 * spread["mean"], place, "o", color=colour, ms=6)
        axes.axvline(value, color="black", ls="--", lw=1.2)
        place = {"ha": "center", "transform": axes.get_xaxis_transform()}
        axes.text(value, 1.02, f"reported: {value:g}", fontsize=8, **place)
        axes.set(xlabel=f"Accuracy on {rows} (%)", ylim=(len(lines) - 0.5, -0.5))
    panels[0].set_yticks(range(len(lines)), [line["name"] for line in lines])
    return figure

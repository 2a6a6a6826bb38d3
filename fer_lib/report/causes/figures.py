"""Pictures of the causes: one function a figure, drawn as the report's are (``fer_lib.report.figures``)."""

from __future__ import annotations

import math
import textwrap
from itertools import cycle, product

import numpy as np
import pandas as pd
import seaborn
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...data.emotions import FER2013
from ..figures import BLUE, GREEN, GREY, ORANGE, THEME, canvas
from . import collapse

COLOURS = seaborn.color_palette("colorblind")
WATCHED = {
    "most_given_share": "Share of the most\ngiven answer",
    "saturated": "Saturated outputs",
    "gradient_norm": "Gradient norm",
    "dead": "Dead ReLUs",
}
"""Traces of a sweep that are drawn, and the words on their axes."""


@rc_context(THEME)
def one_answer_rates(counts: np.ndarray, printed: list[tuple[str, float]]) -> Figure:
    """Accuracy of giving one answer to every test row, a bar an emotion, with printed accuracies as dashed lines.

    ``counts`` (7,) rows of each emotion; ``printed``: where, and the accuracy in percent.
    """
    figure, axes = canvas(6.4, 3.6)
    shares = 100 * counts / counts.sum()
    axes.bar(range(len(shares)), shares, color=BLUE, width=0.7)
    for place, count in enumerate(counts):
        axes.annotate(f"{count:,}", (place, 0), (0, 3), textcoords="offset points", ha="center", color="white")
    shown: list[float] = []
    for value in sorted({value for _, value in printed}):
        if shown and value - shown[-1] < 0.1:  # the same figure with more digits
            continue
        shown.append(value)
        axes.axhline(value, color=ORANGE, ls="--", lw=1.3)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(f"printed: {value:.2f}", (1, value), (4, 0), va="center", annotation_clip=False, **place)
    axes.set_xticks(range(len(shares)), FER2013)
    axes.set(xlabel="The one answer", ylabel="Accuracy on both tests (%)", ylim=(0, 1.12 * shares.max()))
    axes.grid(visible=False, axis="x")
    return figure


@rc_context(THEME)
def loss_line(losses: pd.DataFrame) -> Figure:
    """Loss against accuracy on both tests: the line of certain answers, the released values, our runs.

    ``losses`` as ``collapse.losses`` gives them; it may be empty.
    """
    figure, axes = canvas(6.4, 3.9)
    ends = np.array([0.0, 1.0])
    axes.plot(100 * ends, collapse.certain_loss(ends), color=GREY, lw=1.2, label="certain of every answer")
    if len(losses):
        fallen = losses["answer"].notna()
        for chosen, colour, label in (
            (fallen, ORANGE, "our runs, collapsed"),
            (~fallen, BLUE, "our runs, not collapsed"),
        ):
            if chosen.any():
                axes.plot(
                    100 * losses["accuracy"][chosen],
                    losses["loss"][chosen],
                    "o",
                    color=colour,
                    ms=6,
                    alpha=0.6,
                    label=label,
                )
    accuracies, stored = zip(*((accuracy, loss) for _, accuracy, loss in collapse.RELEASED))
    axes.plot(accuracies, stored, "D", mfc="none", mec="black", mew=1.3, ms=9, label="stored in the released notebooks")
    axes.set(xlabel="Accuracy on both tests (%)", ylabel="Loss on both tests (nats)", xlim=(0, 100), ylim=(0, 17))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@rc_context(THEME)
def courses(families: list[list[list[dict]]], counts: np.ndarray) -> Figure:
    """Test accuracy after each epoch, a panel a network (three in a row), a line a seed; dotted: rates of one answer.

    ``families``: groups of runs that differ in one thing; orange as published, blue the loss from logits, green the
    clipped loss on pixels of another scale.
    """
    columns = min(3, len(families))
    rows = math.ceil(len(families) / columns)
    figure, panels = canvas(0.6 + 3.3 * max(2, columns), 0.2 + 3.5 * rows, rows, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(families) :]:
        axes.remove()
    colours = {"as published": ORANGE, "loss from logits": BLUE, "pixels of another scale": GREEN}
    rates, used = 100 * counts / counts.sum(), set()
    for axes, groups in zip(panels.flat, families):
        for rate in rates:
            axes.axhline(rate, color="0.75", lw=0.9, ls=":")
        for record in (record for group in groups for record in group):
            curve = [100 * entry[f"{collapse.BOTH}_accuracy"] for entry in record["history"]]
            other = "loss from logits" if record["parameters"]["loss"] == "logits" else "pixels of another scale"
            kind = "as published" if collapse.as_published(record) else other
            used.add(kind)
            axes.plot(range(1, len(curve) + 1), curve, color=colours[kind], lw=1.3, alpha=0.65, marker="o", ms=2.5)
        axes.set(xlabel="Epoch", title=textwrap.fill(groups[0][0]["title"], 32))
        axes.title.set_fontweight("normal")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = {}  # rates that lie close together share a line of text
    for code in np.argsort(rates):
        near = next((rate for rate in names if abs(rate - rates[code]) < 2.2), rates[code])
        names.setdefault(near, []).append(FER2013[code])
    last = [panels.flat[min(first + columns, len(families)) - 1] for first in range(0, len(families), columns)]
    for axes, (rate, emotions) in product(last, names.items()):
        axes.annotate(
            ", ".join(emotions),
            (1, rate),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color="0.4",
            annotation_clip=False,
        )
    for axes in panels[:, 0]:
        axes.set(ylabel="Accuracy on both tests (%)")
    panels[0][0].set_ylim(0, max(32, panels[0][0].get_ylim()[1]))
    labels = [kind for kind in colours if kind in used]
    handles = [panels[0][0].plot([], [], color=colours[kind], lw=1.6)[0] for kind in labels]
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure


@rc_context(THEME)
def first_steps(frame: pd.DataFrame, traces: dict[str, np.ndarray]) -> Figure:
    """What happened inside a network step by step, a thin line a setting: orange where it fell to one answer.

    ``frame`` and ``traces`` as ``collapse.settings`` and ``collapse.traces`` give them; thick lines are medians.
    """
    figure, panels = canvas(7.2, 4.6, 2, 2, sharex=True)
    for axes, (name, words) in zip(panels.flat, WATCHED.items()):
        values = traces[name].astype(np.float64)
        for fallen, colour in ((False, BLUE), (True, ORANGE)):
            chosen = values[frame["collapsed"].to_numpy() == fallen]
            for line in chosen:
                axes.plot(np.arange(1, len(line) + 1), line, color=colour, lw=0.5, alpha=0.25)
            if len(chosen):
                axes.plot(np.arange(1, values.shape[1] + 1), np.nanmedian(chosen, axis=0), color=colour, lw=2)
        axes.set(ylabel=words)
        if name == "gradient_norm":
            axes.set_yscale("symlog", linthresh=1e-3)
        else:
            axes.set_ylim(-0.03, 1.03)
    for axes in panels[-1]:
        axes.set(xlabel="Training step")
    handles = [panels[0][0].plot([], [], color=colour, lw=2)[0] for colour in (ORANGE, BLUE)]
    figure.legend(handles, ["fell to one answer", "did not"], loc="outside upper left", ncols=2)
    return figure


@rc_context(THEME)
def forest(lines: list[tuple[str, tuple[float, float, float]]], label: str, zero: bool = True) -> Figure:
    """A value with its interval a line, such as differences in points; values are fractions, drawn in percent.

    An interval with NaN ends is left out; ``zero`` marks no difference.
    """
    figure, axes = canvas(7.0, 0.9 + 0.34 * len(lines))
    if zero:
        axes.axvline(0, color=GREY, lw=1)
    for place, (_, (value, low, high)) in enumerate(lines):
        axes.plot([100 * low, 100 * high], [place] * 2, color=BLUE, lw=4, alpha=0.4, solid_capstyle="butt")
        axes.plot(100 * value, place, "o", color=BLUE, ms=6)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    axes.set(xlabel=label, ylim=(len(lines) - 0.5, -0.5))
    return figure


@rc_context(THEME)
def dumbbells(lines: list[tuple[str, float, float, bool]], names: tuple[str, str], label: str) -> Figure:
    """Two accuracies a line, joined: (label, first, second, control); a control is drawn grey."""
    figure, axes = canvas(7.0, 1.1 + 0.34 * len(lines))
    for place, (_, first, second, control) in enumerate(lines):
        axes.plot([100 * first, 100 * second], [place] * 2, color="0.75", lw=2, zorder=1)
        for value, colour in ((first, BLUE), (second, ORANGE)):
            axes.plot(100 * value, place, "o", color=GREY if control else colour, ms=7, alpha=0.6 if control else 1)
    axes.set_yticks(range(len(lines)), [name for name, *_ in lines])
    axes.set(xlabel=label, ylim=(len(lines) - 0.5, -0.5))
    handles = [axes.plot([], [], "o", color=colour, ms=7)[0] for colour in (BLUE, ORANGE)]
    named = list(names)
    if any(control for *_, control in lines):
        handles.append(axes.plot([], [], "o", color=GREY, ms=7)[0])
        named.append("collapsed: a control")
    figure.legend(handles, named, loc="outside upper left", ncols=3)
    return figure


@rc_context(THEME)
def training_and_test(drawn: list[tuple[list[dict], str, str]]) -> Figure:
    """Training (dashed) and test accuracy (whole) after each epoch, the mean over seeds, a colour a group.

    ``drawn``: the groups, each with the rows it is scored on and its title.
    """
    figure, axes = canvas(10.0, 4.0)
    for (group, scored, title), colour in zip(drawn, cycle(COLOURS)):
        shortest = min(len(record["history"]) for record in group)
        epochs = np.arange(1, shortest + 1)
        for key, style, label in (
            ("accuracy", "--", None),
            (f"{scored}_accuracy", "-", textwrap.fill(title, 34)),
        ):
            mean = np.mean([[100 * e[key] for e in record["history"][:shortest]] for record in group], axis=0)
            axes.plot(epochs, mean, style, color=colour, lw=1.8, label=label, marker="o" if shortest == 1 else None)
    axes.set(xlabel="Epoch", ylabel="Accuracy (%)", ylim=(0, 100))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right upper", labelspacing=0.9)
    return figure


@rc_context(THEME)
def agreement(drawn: list[tuple[str, dict]]) -> Figure:
    """Accuracy by how many of ten taggers chose the label, with Wilson intervals, a line a group.

    ``drawn``: titles, and levels as ``rows.label_noise`` gives them.
    """
    figure, axes = canvas(8.6, 3.9)
    for number, ((title, levels), colour) in enumerate(zip(drawn, cycle(COLOURS))):
        parts = list(levels.items())[::-1]
        places = np.arange(len(parts)) + 0.06 * (number - (len(drawn) - 1) / 2)
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
def fillings(lines: list[dict], titles: list[str], reported: dict[str, float]) -> Figure:
    """Accuracies of each filling on PublicTest and PrivateTest, the band of their means shaded, reported ones dashed.

    ``reported`` in percent by the name of the rows.
    """
    figure, panels = canvas(7.2, 1.3 + 0.4 * len(lines), 1, 2, sharey=True)
    for axes, (rows, value), colour in zip(panels, reported.items(), (ORANGE, GREEN)):
        means = [100 * line[rows]["mean"] for line in lines]
        axes.axvspan(min(means), max(means), color=colour, alpha=0.12, lw=0)
        for place, line in enumerate(lines):
            spread = line[rows]
            axes.plot(
                [100 * a for a in spread["accuracies"]], [place] * spread["seeds"], "o", mfc="none", mec=colour, ms=4
            )
            axes.plot([100 * spread["low"], 100 * spread["high"]], [place] * 2, color=colour, lw=4, alpha=0.4)
            axes.plot(100 * spread["mean"], place, "o", color=colour, ms=6)
        axes.axvline(value, color="black", ls="--", lw=1.2)
        axes.annotate(
            f"reported: {value:g}",
            (value, 1),
            (-3, 4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        axes.set(xlabel=f"Accuracy on {rows} (%)", ylim=(len(lines) - 0.5, -0.5))
    panels[0].set_yticks(range(len(lines)), titles)
    return figure

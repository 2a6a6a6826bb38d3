"""Figures of the data: how many faces, what they look like, what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

from ..data import SPLITS, Faces, audit, ferplus
from .figures import BLUE, GREEN, ORANGE, THEME, canvas


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


def sample_faces(faces: Faces, per_class: int = 4, seed: int = 0) -> Figure:
    """Randomly sampled faces, one column an emotion (Saravanan et al. 2019, Fig. 1). Of FER2013 they show people.

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


def mean_faces(faces: Faces, least: int = 50) -> Figure:
    """The mean face of each emotion, on one grey scale from the darkest to the lightest mean pixel.

    No person can be made out in the mean of hundreds; with fewer than ``least`` faces in a class one might, so that
    class stays empty.
    """
    rows = [np.flatnonzero(faces.labels == label) for label in range(len(faces.emotions))]
    means = [faces.images[r].mean(axis=0, dtype=np.float64) if len(r) >= least else None for r in rows]
    shown = [mean for mean in means if mean is not None] or [np.array([0.0, 255.0])]
    return _pictures([means], faces.emotions, (min(m.min() for m in shown), max(m.max() for m in shown)))

"""The data in numbers, as Markdown tables."""

from __future__ import annotations

import numpy as np

from ..data import SPLITS, Faces, fer2013, ferplus
from ..markdown import table


def class_counts(faces: Faces) -> str:
    """Faces per emotion and split as a Markdown table, and whether FER2013's are those of the official file.

    The last column is the accuracy, on PublicTest and PrivateTest, of always giving that answer.
    """
    counts = np.zeros((len(SPLITS), len(faces.emotions)), int)
    np.add.at(counts, (faces.split, faces.labels), 1)
    test = counts[1:].sum(axis=0)
    lines = [
        {"Emotion": emotion}
        | {split: f"{counts[code, label]:,}" for code, split in enumerate(SPLITS)}
        | {
            "All": f"{counts[:, label].sum():,}",
            "Share of both tests, %": f"{100 * test[label] / max(test.sum(), 1):.2f}",
        }
        for label, emotion in enumerate(faces.emotions)
    ]
    if faces.name != "fer2013":
        return table(lines)
    same = np.array_equal(counts, [fer2013.OFFICIAL_COUNTS[split] for split in SPLITS])
    said = (
        "All counts are those of the official file." if same else "**These are not the counts of the official file.**"
    )
    return f"{table(lines)}\n{said}\n"


def audit(findings: list[dict], padded: bool = False) -> str:
    """The findings of ``audit.summary`` as a Markdown table."""
    names = {"finding": "Finding", "all": "All"}
    lines = [{names.get(key, key): _count(value) for key, value in finding.items()} for finding in findings]
    return table(lines, padded)


def _count(value: int | str | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else value


def taggers(faces: Faces, counts: np.ndarray) -> str:
    """How often the choice of most of FER+'s ten taggers is FER2013's label on PrivateTest, as a Markdown table.

    ``counts`` (n, 10) of the same faces (``ferplus.counts_for``).
    """
    rows = faces.rows("PrivateTest")
    labels = faces.labels[rows]
    same = {
        "Most chose it, among 8 emotions, %": ferplus.plurality(counts[rows]) == labels,
        "Most chose it, among 8 emotions, unknown and no face, %": ferplus.plurality(counts[rows], 10) == labels,
    }
    chosen = {emotion: labels == code for code, emotion in enumerate(faces.emotions)} | {"all": labels >= 0}
    lines = [
        {"FER2013's label": name, "Rows": f"{of.sum():,}"}
        | {title: f"{100 * hit[of].mean():.2f}" for title, hit in same.items()}
        for name, of in chosen.items()
    ]
    return table(lines)

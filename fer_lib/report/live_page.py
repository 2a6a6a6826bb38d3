"""What a reader sees of a survey of faces before a camera (``fer_lib.live.survey``), as Markdown."""

from __future__ import annotations

import numpy as np

from ..evaluation import records
from ..live import survey
from ..markdown import interval, table

CAPTION = (
    "Faces found, and faces whose emotion is told right, against one condition at a time; bands are 95 % intervals "
    "over the faces."
)


def emotions(lines: list[dict], arrays: dict[str, np.ndarray], labels: np.ndarray, names: tuple[str, ...]) -> str:
    """A table of which emotions are told where nothing is changed, by their first and their second answers."""
    usual = records.usual_level(lines)
    told = survey.by_emotion(labels, arrays["first"][usual], arrays["second"][usual], names)
    heads = {"first": "First, %", "either": "First or second, %"}
    return table([
        {"Emotion": line["emotion"], "Faces": line["n"]} | {head: _percent(line[key]) for key, head in heads.items()}
        for line in told
    ])  # fmt: skip


def conditions(lines: list[dict]) -> str:
    """A table of what every level of every condition does."""
    heads = {"found": "Found, %", "right": "Right, %", "right_of_found": "Right of found, %"}
    return table([
        {"Condition": line["condition"], "Level": f"{line['level']:g}"}
        | {head: _percent(survey.share(line, name)) for name, head in heads.items()}
        for line in lines
    ])  # fmt: skip


def delay(lines: list[dict], arrays: dict[str, np.ndarray]) -> str:
    """How long the answers took where nothing is changed, in a sentence."""
    usual = records.usual_level(lines)
    middle, slow = (1000 * float(np.percentile(arrays["seconds"][usual], q)) for q in (50, 95))
    return f"From a frame to its answers it took {middle:.1f} ms in half of the frames, {slow:.1f} ms in all but 5 %."


def _percent(share: tuple[float, float, float]) -> str:
    return "–" if np.isnan(share[0]) else f"{100 * share[0]:.1f} {interval(share[1:])}"

"""What a reader sees of the causes: for each a conclusion in plain words, made of the numbers, with its figures and
tables. ``notebooks/8_causes.ipynb`` tells the story around them."""

from __future__ import annotations

from pathlib import Path

from ...evaluation import pooled
from . import collapse, collapse_page, networks_page, rows, rows_page
from .words import Cause


def all_causes(found: list[dict], experiments: dict[str, dict], results: Path) -> dict[str, Cause]:
    """The causes by their headings in the notebook, from the records below a results folder and the audit beside them.

    A claim may link to one: causes.html#Leaked-rows. What is not ``pooled.comparable`` is left out.

    Raises ValueError where an experiment's seeds were scored on different rows, or a sweep or the FER+ file is
    malformed.
    """
    runs = [record for record in pooled.comparable(found, experiments) if record["metrics"]]
    groups = [g for g in pooled.groups(runs, experiments) if not _read_off(g, experiments)]
    leaked = rows.leaked_ids(results)
    return {
        "The collapse": collapse_page.collapsed_networks(runs, groups, collapse.sweeps(found), experiments, results),
        "Choosing on the test set": networks_page.choosing(groups),
        "Leaked rows": rows_page.leaked(groups, experiments, leaked),
        "Overfitting": networks_page.overfitting(groups, experiments),
        "Two test sets": rows_page.halves(groups),
        "Label noise": rows_page.label_noise(groups),
        "What the paper leaves open": networks_page.fillings(groups, experiments),
    }


def _read_off(group: list[dict], experiments: dict[str, dict]) -> bool:
    """Whether a group is the first epochs of another's runs, which would count those twice."""
    return "milestone_of" in experiments.get(group[0]["experiment"], {})


def in_short(made: dict[str, Cause]) -> str:
    """The first sentence of each conclusion as a Markdown list, each linked to its section."""
    lines = [f"- [{name}](#{name.replace(' ', '-')}): {cause.conclusion[0]}" for name, cause in made.items()]
    return "\n".join(lines) + "\n"

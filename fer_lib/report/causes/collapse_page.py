"""The first cause as a reader sees it: networks that collapsed to one answer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from ...data.emotions import FER2013
from ...evaluation import pooled, records, statistics
from ...markdown import table
from .. import figures
from . import collapse, networks
from . import figures as pictures
from .words import Cause, counted, direction, joined, missing, number, points

FIELDS = {"loss": "the form of the loss", "input_scale": "the scale of the pixels"}
"""Parameters that full runs were made with two values of, and what they are to a reader."""


def collapsed_networks(
    runs: list[dict], groups: list[list[dict]], sweeps: list[dict], experiments: dict[str, dict], results: Path
) -> Cause:
    """The collapse: how many runs and to what, when, what losses and printed accuracies give away, the first steps."""
    families = {field: networks.twins(experiments, field) for field in FIELDS}
    first_of = {name: first for own in families.values() for first, others in own for name in (first, *others)}
    shown = [g for g in groups if g[0]["parameters"].get("loss") == "clipped" or g[0]["experiment"] in first_of]
    conclusion, body = _collapsed(shown, families["input_scale"]), []
    for field, own in families.items():
        conclusion += _against_twins(shown, own, field)
    if shown:
        body.append(table([_outcome(group) for group in shown]))
    body += missing(first_of, groups)
    counts, flat = collapse.test_counts(), collapse.flat_rows(results)
    drawn: dict[str, list[list[dict]]] = {}
    for group in (g for g in shown if f"{collapse.BOTH}_accuracy" in g[0]["history"][0]):
        name = group[0]["experiment"]
        drawn.setdefault(first_of.get(name, name), []).append(group)
    drawn = {name: own for name, own in drawn.items() if not all(map(networks.learned, own))}
    if drawn:
        labels = records.predictions(next(iter(drawn.values()))[0][0])["labels"]
        rates = np.bincount(labels, minlength=len(FER2013))
        body.append(figures.captioned(pictures.courses(list(drawn.values()), rates), (
            "Test accuracy after each epoch, a line a seed. Dotted lines are the accuracies of giving one emotion as "
            "the answer to every row: a collapsed network lies on one of them, and can move only to another."
        )))  # fmt: skip
    for part in (
        _losses(runs, counts, flat),
        _printed(runs, counts, flat),
        _first_steps(sweeps, experiments),
    ):
        conclusion += part.conclusion
        body += part.body
    return Cause(conclusion, body)


def _collapsed(shown: list[list[dict]], families: list[tuple[str, list[str]]]) -> list[str]:
    """How many runs as published collapsed, and to what: a sentence for all that were computed alike.

    ``families``: experiments that differ in the pixels' scale alone; it is told how many of those collapsed.
    """
    kinds: dict[str, list[dict]] = {}
    scaled: dict[str, dict[str, list[dict]]] = {}
    others = {name for _, names in families for name in names}
    for group in shown:
        kind, line = pooled.computed_by(group), collapse.outcomes(group)
        if collapse.as_published(group[0]):
            kinds.setdefault(kind, []).append(line)
        elif group[0]["experiment"] in others:
            scaled.setdefault(kind, {}).setdefault(group[0]["parameters"]["input_scale"], []).append(line)
    if not kinds:
        return ["No run with the clipped loss of the papers' code is there yet, so nothing is known of the collapse."]
    sentences = []
    for kind, told in kinds.items():
        answers: Counter = sum((Counter(line["answers"]) for line in told), Counter())
        said = f"{counted(sum(answers.values()), sum(line['seeds'] for line in told))} runs with the clipped loss and "
        said += f"pixels of 0..255 ({kind}) collapsed"
        if answers:
            names = joined(dict.fromkeys(line["title"] for line in told if line["collapsed"]))
            to = joined(f"{emotion} ({k})" for emotion, k in answers.most_common())
            said += f" to one answer ({names}): {to}"
        for scale, lines in scaled.get(kind, {}).items():
            k, n = (sum(line[key] for line in lines) for key in ("collapsed", "seeds"))
            said += f". With pixels of {scale} and nothing else changed {counted(k, n)} did"
        sentences.append(f"{said}.")
    return sentences


def _against_twins(shown: list[list[dict]], families: list[tuple[str, list[str]]], field: str) -> list[str]:
    """What runs tell that differ in this parameter alone: a sentence for each network and other value, run alike."""
    sentences = []
    for first, others in families:
        sides: dict[str, dict[str, list[dict]]] = {}
        for group in (group for group in shown if group[0]["experiment"] in (first, *others)):
            sides.setdefault(pooled.computed_by(group), {})[group[0]["experiment"]] = group
        for kind, own in sides.items():
            for name in (name for name in others if name in own and first in own):
                before, after = own[first], own[name]
                k, n, j, m = (x[key] for x in map(collapse.outcomes, (before, after)) for key in ("collapsed", "seeds"))
                difference = statistics.independent_difference(k, n, j, m)
                values = [group[0]["parameters"][field] for group in (before, after)]
                verdict = {
                    1: f"{FIELDS[field]} makes the difference",
                    -1: f"with {values[1]} it collapses more often",
                    0: f"these runs do not tell whether {FIELDS[field]} matters",
                }[direction(difference)]
                sentences.append(
                    f"{before[0]['title']}, {field.replace('_', ' ')} {values[0]} or {values[1]}, all else alike "
                    f"({kind}): {counted(k, n)} runs collapsed with the first, {counted(j, m)} with the second, a "
                    f"difference of {points(difference)}; {verdict}. Accuracy {_accuracies(before)} % and "
                    f"{_accuracies(after)} %."
                )
    return sentences or [f"Whether {FIELDS[field]} is to blame, full runs will tell; of none are both sides there yet."]


def _outcome(group: list[dict]) -> dict:
    line = collapse.outcomes(group)
    return {
        "Network": group[0]["title"],
        "Pixels": group[0]["parameters"].get("input_scale", "–"),
        "Loss": group[0]["parameters"]["loss"],
        "Computed by": pooled.computed_by(group),
        "Collapsed [Wilson interval]": counted(line["collapsed"], line["seeds"]),
        "To": ", ".join(f"{emotion} ({times})" for emotion, times in line["answers"].items()) or "–",
        "Accuracy, %": _accuracies(group),
    }


def _accuracies(group: list[dict]) -> str:
    """The lowest and the highest of a group's seeds, in percent."""
    ends = [100 * end(pooled.headline(record)["accuracy"] for record in group) for end in (min, max)]
    return " to ".join(dict.fromkeys(f"{end:.2f}" for end in ends))


def _losses(runs: list[dict], counts: np.ndarray, flat: list[dict]) -> Cause:
    frame = collapse.losses(runs, flat)
    n, released = int(counts.sum()), []
    for name, accuracy, stored in collapse.RELEASED:
        expected = collapse.certain_loss(round(accuracy / 100 * n) / n)
        released.append((name, accuracy, stored, expected, n * (stored - expected)))
    worst = max(abs(stored - expected) for _, _, stored, expected, _ in released)
    follow = "follow" if worst <= 1e-3 else "do not follow"
    listed = joined(f"{stored:.4f}" for _, _, stored in collapse.RELEASED)
    said = f"The losses stored in the released notebooks, {listed}, {follow} from certainty to within {worst:.5f} nats"
    fallen = frame[frame["answer"].notna()] if len(frame) else frame
    if len(fallen):
        worst = (fallen["loss"] - fallen["expected"]).abs().max()
        said += f", those of our {number(len(fallen), 'collapsed run')} to within {worst:.5f}"
    conclusion = [f"{said}."]
    watched = fallen[fallen["changed"].notna()] if len(fallen) else fallen
    if len(watched):
        certain = watched["certain_from"]
        moved = int((watched["changed"] > certain).sum())
        conclusion.insert(0, (
            f"{certain.notna().sum()} of {number(len(watched), 'collapsed run')} end certain of their answers, "
            f"{(certain == 1).sum()} from the end of the first epoch on; {moved or 'none'} went over to another answer "
            "after that."
        ))  # fmt: skip
    rounding = n * 0.00005
    lines = [
        {"Network": f"{name}, released notebook", "Seed": "–", "Answer": "–", "Accuracy, %": f"{accuracy:.3f}",
         "Loss": f"{stored:.4f}", "If certain": f"{expected:.4f}", "Nats left over": f"{left:.2f} ± {rounding:.2f}",
         "Of them the flat picture": "–", "Certain from epoch": "–", "Last change in epoch": "–"}
        for name, accuracy, stored, expected, left in released
    ]  # fmt: skip
    for row in fallen.to_dict("records"):
        lines.append({
            "Network": row["title"], "Seed": row["seed"], "Answer": row["answer"],
            "Accuracy, %": f"{100 * row['accuracy']:.3f}", "Loss": f"{row['loss']:.4f}",
            "If certain": f"{row['expected']:.4f}", "Nats left over": f"{row['excess']:.2f}",
            "Of them the flat picture": f"{row['flat']:.2f}" if flat else "–",
            "Certain from epoch": _epoch(row["certain_from"]), "Last change in epoch": _epoch(row["changed"]),
        })  # fmt: skip
    caption = (
        "Loss against accuracy on both tests, for the clipped loss. The line is "
        f"{collapse.WRONG:.3f} x (1 - accuracy), the price of answers of which a network is certain."
    )
    note = (
        "*If certain*: -ln(1e-7) = 16.118 nats for each wrong answer, nothing for a right one. *Nats left over*: what "
        "all rows together cost beside that. The black picture alone costs some tenths: it puts nothing into the "
        "network, which can then not be certain. Of a released loss four digits are known, hence the ±. "
        f"*Certain*: the loss on both tests stays within {100 * collapse.CERTAIN:g} % of what certain answers cost. "
        "*Change*: of the accuracy, by more than one row.\n"
    )
    figure = figures.captioned(pictures.loss_line(frame), caption)
    return Cause(conclusion, [figure, table(lines) + "\n" + note])


def _epoch(number: float | None) -> str:
    return "–" if pd.isna(number) else f"{number:.0f}"


def _printed(runs, counts, flat) -> Cause:
    labels, lines, told = [line["emotion"] for line in flat], [], 0
    for where, printed in collapse.PRINTED:
        digits = len(f"{printed}".partition(".")[2])
        fitting = collapse.gives_away(printed, digits, counts, labels)
        told += bool(fitting)
        but = [f" but for {number(fit['extra'], 'flat picture')}" * bool(fit["extra"]) for fit in fitting]
        answers = [f"always {fit['emotion']}{exception}" for fit, exception in zip(fitting, but)]
        lines.append({
            "Printed": f"{printed:.{digits}f}", "Where": where, "Answer that gives it": " or ".join(answers) or "none",
            "Right rows": " or ".join(f"{fit['correct']:,}" for fit in fitting) or "–",
            "Exactly, %": " or ".join(f"{100 * fit['accuracy']:.3f}" for fit in fitting) or "–",
        })  # fmt: skip
    given = collapse.flat_answers(runs, flat)
    said = f"{told} of {len(lines)} printed accuracies are those of one answer to every test row"
    said += ", or to every row but the flat picture, which is then right." if labels else "."
    if given["runs"]:
        said += (
            f" Of our {given['runs']} collapsed runs {given['other']} answer that picture otherwise than all others, "
            f"{given['right']} of them rightly."
        )
    where = ", ".join(
        f"row {int(line['row']):,} ({line['split']}, labelled {line['emotion']}, grey {line['grey']})" for line in flat
    )
    note = f"Flat test pictures, by the audit: {where}. A network answers a black picture from its biases alone.\n"
    if not flat:
        note = "Which test pictures are flat, `python -m fer_lib audit` lists; here is no such list.\n"
    caption = "Accuracy of giving one answer to every row of both tests, and the accuracies that are printed."
    figure = figures.captioned(pictures.one_answer_rates(counts, collapse.PRINTED), caption)
    return Cause([said], [figure, table(lines) + "\n" + note])


def _first_steps(sweeps: list[dict], experiments: dict[str, dict]) -> Cause:
    asked = [name for name, experiment in experiments.items() if "steps" in networks.complete(experiment)]
    made = Cause([], missing(asked, [[sweep] for sweep in sweeps], "Sweeps of the first steps that are not there yet"))
    if not sweeps and not made.body:
        made.body.append("No sweep of the first steps is there yet, so what happens inside is not shown.\n")
    for alike, own in collapse.alike(sweeps).items():
        frame = pd.concat(map(collapse.settings, own), ignore_index=True)
        levels, k, n = collapse.factors(frame), int(frame["collapsed"].sum()), len(frame)
        said = f"In the first {frame['steps'].max()} steps {counted(k, n)} settings fell to one answer ({alike})"
        apart = [_levels(levels, name) for name in dict.fromkeys(line["factor"] for line in levels)]
        if apart:
            low, *_, high = max(apart, key=lambda lines: lines[-1]["share"] - lines[0]["share"])
            often = [f"{counted(one['collapsed'], one['settings'])} at {one['level']}" for one in (high, low)]
            said += f"; what matters most is {low['factor'].replace('_', ' ')}: {', '.join(often)}"
        made.conclusion += filter(None, [f"{said}.", _without_gradient(frame)])
        if levels:
            rows = [
                (f"{line['factor'].replace('_', ' ')}: {line['level']}", (line["share"], *line["interval"]))
                for lines in apart
                for line in lines
            ]
            figure = pictures.forest(rows, "Settings that fell to one answer (%), Wilson interval", zero=False)
            caption = (
                "How often each level of each factor fell to one answer in the first steps, the other factors alike."
            )
            made.body.append(figures.captioned(figure, caption))
        for sweep in own:
            figure = pictures.first_steps(collapse.settings(sweep), collapse.traces(sweep))
            caption = f"{sweep['title']}: what each batch showed before its step; thin a setting, thick their median."
            made.body.append(figures.captioned(figure, caption))
    return made


def _without_gradient(frame: pd.DataFrame) -> str:
    """How many of the fallen settings of each loss have no gradient at all at the end."""
    fallen = frame[frame["collapsed"]]
    parts = [
        f"{int(own['stuck_since'].notna().sum())} of {len(own)} with the loss {loss}"
        for loss, own in fallen.groupby("loss")
    ]
    return f"Of the fallen the gradient is exactly 0 at the end for {joined(parts)}." if parts else ""


def _levels(levels: list[dict], factor: str) -> list[dict]:
    """A factor's levels, the one that collapses most seldom first."""
    own = [line | {"share": line["collapsed"] / line["settings"]} for line in levels if line["factor"] == factor]
    return sorted(own, key=lambda line: line["share"])

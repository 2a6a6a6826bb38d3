"""What a reader sees of the causes: for each a conclusion in plain words, made of the numbers, with its figures and
tables. ``notebooks/8_causes.ipynb`` tells the story around them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from ... import system
from ...claims import rules
from ...data import ferplus
from ...data.emotions import FER2013
from ...data.near_duplicates import NEAR
from ...evaluation import pooled, records, statistics
from ...markdown import interval, joined, table
from ...training.protocol import WITHOUT_NEAR, WITHOUT_TWINS
from .. import tables
from ..figures import captioned
from . import collapse, figures, networks, rows

FIELDS = {"loss": "the form of the loss", "input_scale": "the scale of the pixels"}
"""Parameters that full runs were made with two values of, and what they are to a reader."""
REPORTED = {"PublicTest": 62.0, "PrivateTest": 60.0}
"""What Vorontsov and Averkin 2018, section 2, report, in percent; that their validation and test batches are these rows
is our assumption."""


@dataclass
class Cause:
    """A cause as it is shown: the conclusion's sentences, then Markdown and captioned figures."""

    conclusion: list[str]
    body: list = field(default_factory=list)

    def show(self) -> None:
        """Display it in a notebook."""
        from IPython.display import Markdown, display

        first, *rest = self.conclusion
        display(Markdown("\n".join([f"**Conclusion.** {first}\n", *(f"- {sentence}" for sentence in rest)])))
        for part in self.body:
            display(Markdown(part) if isinstance(part, str) else part)


def all_causes(all_records: list[dict], experiments: dict[str, dict], results: Path) -> dict[str, Cause]:
    """The causes by their headings in the notebook, from the records below a results folder and the audit beside them.

    A claim may link to one: causes.html#Leaked-rows. What is not ``pooled.comparable`` is left out, and so are runs on
    labels that are not FER2013's, such as FER+'s, and groups that are the first epochs of other runs, which would count
    those twice. But for the collapse a group is read without the few of its runs that collapsed (see
    ``networks.mostly_learned``).

    Raises ValueError where an experiment's seeds were scored on different rows, or a sweep or the FER+ file is
    malformed.
    """
    comparable = pooled.comparable(all_records, experiments)
    runs = [record for record in comparable if record["metrics"] and records.emotions(record) == FER2013]
    groups = pooled.groups(runs, experiments)
    groups = [g for g in groups if "milestone_of" not in experiments.get(g[0]["experiment"], {})]
    sweeps = [record for record in all_records if "sweep" in record]
    able = [networks.mostly_learned(group) for group in groups]
    return {
        "The collapse": the_collapse(runs, groups, sweeps, experiments, rows.flat(results)),
        "Choosing on the test set": choosing_on_the_test_set(able),
        "Leaked rows": leaked_rows(able, experiments, rows.leaked_ids(results), rows.nearest(results)),
        "Overfitting": overfitting(able, experiments),
        "Two test sets": two_test_sets(able),
        "Label noise": label_noise(able),
        "What the paper leaves open": what_the_paper_leaves_open(able, experiments),
    }


def in_short(causes: dict[str, Cause]) -> str:
    """The first sentence of each conclusion as a Markdown list, each linked to its section."""
    lines = [f"- [{name}](#{name.replace(' ', '-')}): {cause.conclusion[0]}" for name, cause in causes.items()]
    return "\n".join(lines) + "\n"


def the_collapse(
    runs: list[dict], groups: list[list[dict]], sweeps: list[dict], experiments: dict[str, dict], flat: list[dict]
) -> Cause:
    """Networks that predict one emotion: how many runs and which, when, what losses and printed accuracies show, the
    first steps."""
    families = {name: networks.counterparts(experiments, name) for name in FIELDS}
    first_of = {name: first for own in families.values() for first, others in own for name in (first, *others)}
    shown = [g for g in groups if g[0]["parameters"].get("loss") == "clipped" or g[0]["experiment"] in first_of]
    conclusion = _collapsed_runs(shown, {name for _, names in families["input_scale"] for name in names})
    for name, own in families.items():
        conclusion += _against_counterparts(shown, own, name)
    body = [table([_outcome(group) for group in shown])] if shown else []
    body += _missing(first_of, groups, experiments)
    with_curves = (g for g in shown if f"{collapse.BOTH}_accuracy" in g[0]["history"][0])
    curves = _by(lambda g: first_of.get(g[0]["experiment"], g[0]["experiment"]), with_curves).values()
    if curves := [own for own in curves if not all(map(networks.learned, own))]:
        rates = np.bincount(records.predictions(curves[0][0][0])["labels"], minlength=len(FER2013))
        body.append(captioned(figures.courses(curves, rates), (
            "A collapsed network lies on a dotted line and can move only to another; one that learns rises above them. "
            "Test accuracy after each epoch, one line for each seed; dotted: the accuracies of predicting one emotion "
            "for every row."
        )))  # fmt: skip
    parts = (_losses(runs, flat), _printed(runs, flat), _first_steps(sweeps, experiments))
    return Cause(sum((p.conclusion for p in parts), conclusion), sum((p.body for p in parts), body))


def _by(key: Callable[..., str], things: Iterable) -> dict[str, list]:
    """Groups of runs, or claims, by what ``key`` gives of each, in the order in which it first gives it."""
    kinds: dict[str, list] = {}
    for thing in things:
        kinds.setdefault(key(thing), []).append(thing)
    return kinds


def _collapsed_runs(shown: list[list[dict]], scaled: set[str]) -> list[str]:
    """How many runs as published collapsed, and to what: a sentence for all that were computed alike.

    ``scaled``: experiments that differ from those in the pixels' scale alone; it says how many of them collapsed.
    """
    sentences = []
    for kind, groups in _by(pooled.computed_by, shown).items():
        published = [collapse.outcomes(group) for group in groups if collapse.as_published(group[0])]
        if not published:
            continue
        emotions: Counter = sum((line["emotions"] for line in published), Counter())
        text = f"{_total(published)} runs with the clipped loss and pixels of 0..255 collapsed"
        if emotions:
            text += f" to one emotion: {joined(f'{emotion} ({k})' for emotion, k in emotions.most_common())}"
        others = (g for g in groups if g[0]["experiment"] in scaled and not collapse.as_published(g[0]))
        for scale, own in _by(lambda group: group[0]["parameters"]["input_scale"], others).items():
            text += f"; with pixels of {scale} and nothing else changed {_total(map(collapse.outcomes, own))} did"
        sentences.append(f"{text} ({kind}).")
    return sentences or ["No run has the clipped loss of the papers' code yet, so nothing is known of the collapse."]


def _total(outcomes: Iterable[dict]) -> str:
    """How many runs of several groups collapsed, of how many."""
    counts = [(line["collapsed"], line["seeds"]) for line in outcomes]
    return _counted(*map(sum, zip(*counts)))


def _against_counterparts(shown: list[list[dict]], families: list[tuple[str, list[str]]], name: str) -> list[str]:
    """What runs show that differ in this parameter alone: a sentence for each network and other value, run alike."""
    sentences, made = [], {(group[0]["experiment"], pooled.computed_by(group)): group for group in shown}
    for first, others in families:
        for kind, before in ((kind, group) for (made_of, kind), group in made.items() if made_of == first):
            for after in (made[other, kind] for other in others if (other, kind) in made):
                one, two = collapse.outcomes(before), collapse.outcomes(after)
                counts = (line[key] for line in (one, two) for key in ("collapsed", "seeds"))
                difference = statistics.independent_difference(*counts)
                values = [group[0]["parameters"][name] for group in (before, after)]
                verdict = {
                    1: f"{FIELDS[name]} makes the difference",
                    -1: f"with {values[1]} it collapses more often",
                    0: f"these runs do not show that {FIELDS[name]} matters",
                }[_direction(difference)]
                sentences.append(
                    f"*{one['title']}*, {name.replace('_', ' ')} {values[0]} against {values[1]}, all else equal "
                    f"({kind}): {_total([one])} and {_total([two])} runs collapsed, a difference of "
                    f"{_points(difference)}; {verdict}. Accuracy {_accuracies(before)} % and {_accuracies(after)} %."
                )
    return sentences or [f"Whether {FIELDS[name]} is the cause is open: no two full runs differ in it alone yet."]


def _outcome(group: list[dict]) -> dict:
    line = collapse.outcomes(group)
    return {
        "Network": line["title"],
        "Pixels": group[0]["parameters"].get("input_scale", "–"),
        "Loss": group[0]["parameters"]["loss"],
        "Computed by": pooled.computed_by(group),
        "Collapsed [Wilson interval]": _total([line]),
        "To": ", ".join(f"{emotion} ({times})" for emotion, times in line["emotions"].most_common()) or "–",
        "Accuracy, %": _accuracies(group),
    }


def _accuracies(group: list[dict]) -> str:
    return _range(pooled.headline(record)["accuracy"] for record in group)


def _losses(runs: list[dict], flat: list[dict]) -> Cause:
    n, lines = int(collapse.test_counts().sum()), []
    for name, accuracy, stored in collapse.RELEASED:
        expected = collapse.certain_loss(round(accuracy / 100 * n) / n)
        line = {"title": f"{name}, released notebook", "accuracy": accuracy / 100, "loss": stored, "expected": expected}
        lines.append(line | {"excess": n * (stored - expected)})
    worst = max(abs(line["loss"] - line["expected"]) for line in lines)
    stored = joined(f"{line['loss']:.4f}" for line in lines)
    text = (
        f"The losses stored in the released notebooks, {stored}, are those of a network that is certain of every "
        f"prediction, to within {worst:.5f} nats"
    )
    conclusion, frame = [], collapse.losses(runs, flat)
    if len(frame) and len(own := frame[frame["emotion"].notna()]):
        if len(watched := own[own["changed"].notna()]):
            certain = watched["certain_from"]
            moved = int((watched["changed"] > certain).sum())
            conclusion.append(
                f"{certain.notna().sum()} of {_number(len(watched), 'collapsed run')} are certain of their predictions "
                f"at the end, {(certain == 1).sum()} since the end of the first epoch; {moved or 'none'} changed to "
                "another emotion after that."
            )
            if len(sure := watched[certain.notna()]):
                worst = (sure["loss"] - sure["expected"]).abs().max()
                text += f"; so are those of our {_number(len(sure), 'run')} that are, to within {worst:.5f}"
        lines += own.to_dict("records")
    figure = captioned(figures.loss_line(frame), (
        "On the line lie networks that are certain of every prediction, and so do both released losses (diamonds); "
        "below it they are less certain. "
        "Loss against accuracy on both tests, for the clipped loss; the line is "
        f"{collapse.WRONG:.3f} x (1 - accuracy), what certain predictions cost."
    ))  # fmt: skip

    def rounded(key, digits, factor=1):
        return lambda line: None if pd.isna(line.get(key)) else f"{factor * line[key]:.{digits}f}"

    listed = _table(lines, {
        "Network": "title", "Seed": rounded("seed", 0), "Emotion": lambda line: line.get("emotion"),
        "Accuracy, %": rounded("accuracy", 3, 100), "Loss": rounded("loss", 4), "If certain": rounded("expected", 4),
        "Nats left over": lambda line: f"{line['excess']:.2f}" + ("" if "seed" in line else f" ± {n * 0.00005:.2f}"),
        "Of these the black picture": rounded("flat", 2) if flat else lambda line: None,
        "Certain from epoch": rounded("certain_from", 0), "Last change in epoch": rounded("changed", 0),
    })  # fmt: skip
    note = (
        f"*If certain*: -ln(1e-7) = {collapse.WRONG:.3f} nats for each wrong prediction, nothing for a right one. "
        "*Nats left over*: the rest of the loss, summed over all rows. The black picture alone can cost some tenths of "
        "a nat: it puts nothing into the network, which then cannot be certain. A released loss is known to four "
        f"decimals, hence the ±. *Certain from*: the loss on both tests stays within {100 * collapse.CERTAIN:g} % of "
        "what certain predictions cost. *Last change*: of the accuracy, by more than one row.\n"
    )
    return Cause([*conclusion, f"{text}."], [figure, listed + "\n" + note])


def _printed(runs: list[dict], flat: list[dict]) -> Cause:
    counts, labels, lines, explained = collapse.test_counts(), [line["emotion"] for line in flat], [], 0
    for where, printed in collapse.PRINTED:
        digits = len(f"{printed}".partition(".")[2])
        fitting = collapse.constant_classifiers(printed, digits, counts, labels)
        explained += bool(fitting)
        predictions = [
            f"always {fit['emotion']}" + f", but for {_number(fit['extra'], 'black picture')}" * bool(fit["extra"])
            for fit in fitting
        ]
        lines.append({
            "Printed": f"{printed:.{digits}f}", "Where": where,
            "Prediction that gives it": " or ".join(predictions) or "none",
            "Right rows": " or ".join(f"{fit['correct']:,}" for fit in fitting) or "–",
            "Exactly, %": " or ".join(f"{100 * fit['accuracy']:.3f}" for fit in fitting) or "–",
        })  # fmt: skip
    text = f"{explained} of {len(lines)} printed accuracies are those of predicting one emotion for every test row"
    text += ", or for every row but the black picture, which is then recognised." if labels else "."
    ours = collapse.flat_predictions(runs, flat)
    if ours["runs"]:
        text += (
            f" Of our {ours['runs']} collapsed runs {ours['other']} predict another emotion for that picture than for "
            f"all others, and {ours['right']} predict its label."
        )
    note = "There is no list of the test pictures that are one grey all over; `make audit` makes it.\n"
    if flat:
        where = [f"row {int(x['row']):,} ({x['split']}, labelled {x['emotion']}, grey {x['grey']})" for x in flat]
        note = f"Test pictures of one grey all over, by the audit: {', '.join(where)}. What a network predicts for a "
        note += "black picture comes from its biases alone.\n"
    caption = (
        "A dashed line, a printed accuracy, that meets the top of a bar is the accuracy of predicting this emotion for "
        "every row of both tests. The counts in the bars are the rows of each emotion."
    )
    figure = captioned(figures.constant_classifiers(counts, collapse.PRINTED), caption)
    return Cause([text], [figure, table(lines) + "\n" + note])


def _first_steps(sweeps: list[dict], experiments: dict[str, dict]) -> Cause:
    names = [name for name, experiment in experiments.items() if "steps" in networks.complete(experiment)]
    groups = [[sweep] for sweep in sweeps]
    cause = Cause([], _missing(names, groups, experiments, "Sweeps of the first steps that are not run yet"))
    for kind, own in _by(pooled.computed_by, groups).items():
        alike = [sweep for (sweep,) in own]
        cause.conclusion += steps_in_words(alike, f" ({kind})")
        if lines := collapse.factors(_settings(alike)):
            levels = [networks.in_words({line["factor"]: line["level"]}, ": ") for line in lines]
            shares = [(line["share"], *line["interval"]) for line in lines]
            label = "Settings that collapsed (%), Wilson interval"
            cause.body.append(captioned(figures.forest(list(zip(levels, shares)), label, zero=False), (
                "The further apart a factor's levels lie, the more it matters. How often settings of each level "
                "collapsed in the first steps, the other factors equal."
            )))  # fmt: skip
        for sweep in alike:
            figure = figures.first_steps(sweep["sweep"], collapse.traces(sweep), by_collapse=True)
            cause.body.append(captioned(figure, (
                "Compare the thick lines, the medians of the settings that collapsed (orange) and of those that did "
                f"not (blue): where they part, the collapse begins. {sweep['title']}: what each batch showed before "
                "its step, one column for each scale of the pixels, one thin line for each setting."
            )))  # fmt: skip
    return cause


def steps_in_words(sweeps: list[dict], kind: str = "") -> list[str]:
    """How many settings of sweeps of first steps collapsed, which factor matters most, and where the gradient is 0.

    ``kind``: what computed them, put behind the first count.
    """
    frame = _settings(sweeps)
    collapsed = frame[frame["collapsed"]]
    text = f"In the first {frame['steps'].max()} steps {_counted(len(collapsed), len(frame))} settings collapsed"
    text += f" to one emotion{kind}"
    by_factor = [list(own) for _, own in groupby(collapse.factors(frame), key=lambda line: line["factor"])]
    low, *_, high = max(by_factor, key=lambda own: own[-1]["share"] - own[0]["share"], default=(None, None))
    if low and low["share"] < high["share"]:
        often = [f"{_counted(line['collapsed'], line['settings'])} at {line['level']}" for line in (high, low)]
        text += f"; what matters most is {low['factor'].replace('_', ' ')}: {' against '.join(often)}"
    parts = [
        f"{settings['stuck_since'].notna().sum()} of {len(settings)} with the loss {loss}"
        for loss, settings in collapsed.groupby("loss")
    ]
    stuck = [f"Of those that collapsed, the gradient is exactly 0 at the end for {joined(parts)}."] if parts else []
    return [f"{text}.", *stuck]


def _settings(sweeps: list[dict]) -> pd.DataFrame:
    return pd.concat(map(collapse.settings, sweeps), ignore_index=True)


def choosing_on_the_test_set(groups: list[list[dict]]) -> Cause:
    lines = _with_names(networks.choosing(groups))
    if not lines:
        return Cause(["No network that learned has a history of two epochs yet, so there is nothing to choose from."])
    worth = statistics.t_interval([line["spread"][0] for line in lines])
    largest = max(value for line in lines for value in line["worth"])
    conclusion = [
        f"Choosing the epoch on the scored rows themselves adds {_points(worth)} on PrivateTest over choosing it on "
        f"PublicTest, on average over {_number(len(lines), 'network')} that learned (at most {100 * largest:.2f} in "
        "one run)."
    ]
    ended = [(a, b) for line in lines for a, b in zip(line["stopped_own"], line["stopped"]) if None not in (a, b)]
    if ended:
        gain = statistics.t_interval([a - b for a, b in ended])
        conclusion.append(
            f"Early stopping ({networks.PATIENCE} epochs without a lower loss) that watches PrivateTest instead of "
            f"PublicTest changes accuracy on PrivateTest by {_points(gain)}, on average over "
            f"{_number(len(ended), 'run')}."
        )
    figure = figures.dumbbells(
        [(line["name"], np.mean(line["honest"]), np.mean(line["own"]), False) for line in lines],
        ("epoch best on PublicTest", "epoch best on PrivateTest itself"),
        "Accuracy on PrivateTest (%)",
    )
    caption = (
        f"A network's two dots lie {_between(line['spread'][0] for line in lines)} apart: what choosing on the test "
        "set adds. Accuracy on PrivateTest at the epoch chosen on PublicTest (blue), and at the epoch best on "
        "PrivateTest itself (orange); means over seeds."
    )
    listed = _table(lines, {
        "Network": "name", "Seeds": "seeds", "Both tests, last epoch, %": "last", "Both tests, best epoch, %": "best",
        "PrivateTest, epoch best there, %": "own", "PrivateTest, epoch best on PublicTest, %": "honest",
        "Worth, points [t interval]": "spread",
    })  # fmt: skip
    return Cause(conclusion, [captioned(figure, caption), listed])


def overfitting(groups: list[list[dict]], experiments: dict[str, dict]) -> Cause:
    lines = _with_names(networks.overfitting(groups))
    if not lines:
        return Cause(["No network that learned has been run yet."])
    widest = max(lines, key=lambda line: line["spread"][0])
    conclusion = [
        f"Training accuracy ends {_points(widest['spread'])} above test accuracy for *{widest['title']}*, the widest "
        f"gap ({_percent(widest['training'])} against {_percent(widest['test'])}); over "
        f"{_number(len(lines), 'network')} that learned it is {_between(line['spread'][0] for line in lines)}."
    ]
    widest_each = _largest_of_each_model(lines, lambda line: line["spread"][0])
    curves = [(line["group"], pooled.reading(line["group"][0])[1], line["name"]) for line in widest_each]
    figure = captioned(figures.training_and_test(curves), (
        "The further a dashed line rises above the solid one of its colour, the more the network overfits. Accuracy "
        "after each epoch, mean over seeds: dashed on the training rows (dropout on), solid on the test rows. Of each "
        "architecture the network with the widest gap."
    ))  # fmt: skip
    body = [figure, _table(lines, {
        "Network": "name", "Seeds": "seeds", "Training, %": "training", "Test, %": "test",
        "Gap, points [t interval]": "spread",
    })]  # fmt: skip
    if changes := networks.remedies(groups, experiments):
        better = [line for line in changes if _direction(line["rows"]) > 0 and _direction(line["spread"]) > 0]
        which = [f"{line['changed']} ({line['title']}: {_points(line['spread'])} over seeds)" for line in better]
        few = sum(line["seeds"] < rules.SEEDS for line in changes)
        text = f"Of {_number(len(changes), 'change')} meant against it {len(better) or 'none'} gained test accuracy "
        text += "beyond doubt, with both intervals, over seeds and over rows, above 0"
        text += f" ({few} with fewer than {rules.SEEDS} seeds)" if few else ""
        conclusion.append(f"{text}: {joined(which)}." if which else f"{text}.")
        named = [
            (f"{line['changed']}\n{line['title']}, {_number(line['seeds'], 'seed')}", line["rows"]) for line in changes
        ]
        figure = figures.forest(named, "Gain in test accuracy (points)")
        caption = (
            "A bar wholly right of 0 is a gain that other test rows would show too. What each change does to test "
            "accuracy, the same seeds and rows compared; bars are 95 % intervals over rows."
        )
        body += [captioned(figure, caption), _table(changes, {
            "Change": "changed", "Network": "title", "Seeds": "seeds", "Before, %": "before", "After, %": "after",
            "Gain, points [over rows]": "rows", "[over seeds]": "spread",
            "Gap narrowed by, points": lambda line: f"{100 * line['narrowed']:+.2f}",
        })]  # fmt: skip
    body += _missing([name for _, *both in networks.remedy_pairs(experiments) for name in both], groups, experiments)
    return Cause(conclusion, body)


def what_the_paper_leaves_open(groups: list[list[dict]], experiments: dict[str, dict]) -> Cause:
    lines = networks.fillings(groups, experiments)
    lacking = _missing(networks.filling_names(experiments), groups, experiments)
    if not lines:
        return Cause(["The eleven-layer network has not been run yet."], lacking)
    parts, several = [], len(lines) > 1
    for scored, reported in REPORTED.items():
        means = [line[scored]["mean"] for line in lines]
        where = "above" if reported > 100 * max(means) else "below" if reported < 100 * min(means) else "within"
        where += (" their range" if where == "within" else " all their means") * several
        parts.append(f"{_range(means)}\u00a0% on {scored} (reported: {reported:g}, {where})")
    text = f"{_number(len(lines), 'filling').capitalize()} of the eleven-layer network "
    text += f"{'reach' if several else 'reaches'} {joined(parts)}."
    if len(lines) < 3:
        text += " These are too few to call them a range."
    titles = [networks.in_words(line["changed"]) or "as first filled in" for line in lines]
    lines = _with_names([line | {"title": title} for line, title in zip(lines, titles)])
    figure = captioned(figures.fillings(lines, REPORTED), (
        "Compare the dashed line, which the paper reports, with the shaded band of our means. Accuracy of each filling "
        "of what the paper leaves open: rings are seeds, dots their mean, bars the 95 % t interval over seeds."
    ))  # fmt: skip
    listed = _table(lines, {
        "Filling": "name", "Experiment": lambda line: f"`{line['experiment']}`", "Seeds": "seeds",
        "PublicTest, %": "PublicTest.mean", "PrivateTest, %": "PrivateTest.mean",
    })  # fmt: skip
    return Cause([text], [figure, listed, *lacking])


def leaked_rows(
    groups: list[list[dict]], experiments: dict[str, dict], leaked: np.ndarray, near: dict[int, rows.Nearest]
) -> Cause:
    if not len(leaked):
        return Cause(["No list of leaked rows stands in `audit/` beside these runs (`make audit` writes it)."])
    lines = _with_names(rows.leakage(groups, leaked, near))
    if not lines:
        return Cause(["Nothing has been run on the official FER2013 with the fixed test rows yet."])
    conclusion = ["No model that learned has been run yet; collapsed ones remember no row."]
    if able := [line for line in lines if line["learned"]]:
        papers = [line for line in able if line["model"] and line["experiment"].startswith("saravanan2019/")]
        best = max(papers or able, key=lambda line: line["accuracy"])
        parts = [
            f"{_percent(best['accuracy'])} of all {best['n']:,} test rows",
            f"{_percent(best['clean'])} of the clean ones",
        ]
        lost = f"{_points(best['lost'])} of its accuracy come from leaked rows"
        if best["near_clean"] is not None:
            parts.append(f"{_percent(best['near_clean'])} of the near-clean ones")
            lost += f", {_points(best['near_lost'])} from these and near-duplicates"
        sure = sum(_direction(line["alike"]) > 0 for line in able)
        conclusion = [
            f"*{best['title']}* ({_number(best['seeds'], 'seed')} that learned) recognises {joined(parts)}: {lost}.",
            "Either the network remembers these rows or they are easier; training without them, below, tells the two "
            "apart.",
            f"{sure} of {_number(len(able), 'model')} that learned, all trained with the twins, recognise leaked rows "
            f"more often than clean rows of the same emotions (interval over rows above 0).",
        ]
    pairs = [(line["name"], line["clean"], line["leaked"], not line["learned"]) for line in lines]
    figure = captioned(figures.dumbbells(pairs, ("clean rows", "leaked rows"), "Accuracy (%)"), (
        "The further the orange dot lies right of the blue one, the better a model is on leaked rows than on clean "
        "ones. A collapsed network (grey) remembers nothing: its difference comes from the mix of emotions."
    ))  # fmt: skip
    body = [figure, _table(lines, {
        "Model": "name", "Seeds": "seeds", "Leaked rows": lambda line: f"{line['n_leaked']:,} of {line['n']:,}",
        "All rows, %": "accuracy", "Clean, %": "clean", "All minus clean, points [over rows]": "lost",
        "Near-clean, %": "near_clean", "All minus near-clean, points": "near_lost",
        "Leaked, %": "leaked", "Leaked minus clean at equal mix of emotions": "alike",
    })]  # fmt: skip
    retrained = rows.retrained(groups, experiments, leaked, near)
    for line in retrained:
        conclusion.append(_retrained_in_words(line))
    if retrained:
        kinds = [name for name in ("leaked", "near-duplicate", "near-clean", "clean", "all") if name in retrained[0]]
        flat = [
            line | line[kind] | {"kind": kind, "name": f"{line['title']}, without {line['without']}"}
            for line in retrained
            for kind in kinds
            if kind in line
        ]
        differences = [(f"{line['name']}: {line['kind']}", line["rows"]) for line in flat]
        figure = figures.forest(differences, "Trained without them minus trained with them (points)")
        body.append(captioned(figure, (
            "A bar left of 0 on leaked rows or near-duplicates is memory, lost with the rows that it came from. What "
            "training without the twins of test rows, or without their near-duplicates too, changes; same seeds, same "
            "rows, bars are 95 % intervals over rows."
        )))  # fmt: skip
        body.append(_table(flat, {
            "Trained": "name", "Seeds": "seeds", "Test rows": "kind", "n": lambda line: f"{line['n']:,}",
            "With them, %": "before", "Without, %": "after", "Change, points [over rows]": "rows",
            "[over seeds]": "spread", "Change of the accuracy on all, points": "share",
        }))  # fmt: skip
    if bands := rows.by_correlation(groups, experiments, leaked, near):
        conclusion.append(_threshold_in_words(bands))
        body.append(captioned(figures.near_duplicates(bands), (
            "The more a test row resembles its partner in an earlier part, the likelier both are one photograph: look "
            "how often they share a label (left) and how much memory adds (right, orange). Left: the share with the "
            "partner's label, with its exact 95 % interval; dashed that of rows paired at random. Right: how much more "
            "often than clean rows without a partner they are recognised, because they are easier (by the network that "
            "was trained without near-duplicates) and by memory (what the other network adds to that). Below "
            f"{NEAR:.2f} both were trained with the partners, so that what they remember counts as easier."
        )))  # fmt: skip
        body.append(_table(bands, {
            "Correlation": lambda line: f"{line['low']:.2f} to {line['high']:.2f}", "Rows": "n",
            "Same label": lambda line: f"{line['agree']} of {line['n']} {interval(line['interval'])}",
            "Easier by, points": "ease", "Memory, points": "memory",
        }))  # fmt: skip
    both = [names for kind in (WITHOUT_TWINS, WITHOUT_NEAR) for names in rows.pairs_without(experiments, kind)]
    body += _missing(
        [name for pair in both for name in pair], groups, experiments, "Training without them has not been run yet"
    )
    return Cause(conclusion, body)


def _retrained_in_words(line: dict) -> str:
    """What a training without twins, or near-duplicates, says: what was memory, and that the rows are easier."""
    pairs = f"{_number(line['seeds'], 'pair')} of runs with the same seed"
    if line["left_out"]:
        pairs += f"; {line['left_out']} more left out because a network collapsed"
    leaked, clean = line["leaked"], line["clean"]
    lead = 100 * leaked["n"] / line["all"]["n"] * (leaked["before"] - clean["before"])
    rest = "rows that occur more than once are easier"
    if line["without"] == "twins":
        rest = "such rows are easier, or known from near-duplicates that stayed in Training"
    text = (
        f"*{line['title']}*, trained without the {line['without']}, recognises {_percent(leaked['after'])} of the "
        f"leaked rows and {_percent(clean['after'])} of the clean ones; with them {_percent(leaked['before'])} and "
        f"{_percent(clean['before'])} ({pairs}). The change on leaked rows, {_points(leaked['share'])} of the accuracy "
        f"on all rows, is what was memory; their lead over clean rows alone would suggest {lead:.2f}. The lead that is "
        f"left: {rest}."
    )
    if line["without"] == "near-duplicates" and "near-duplicate" in line:
        near, others = line["near-duplicate"], line["near-clean"]
        text += (
            f" On near-duplicates it has {_percent(near['before'])} with and {_percent(near['after'])} without them, a "
            f"change of {_points(near['share'])} of the accuracy on all rows; on near-clean rows, which it cannot "
            f"remember, fewer training rows change {_points(others['rows'])}."
        )
    return text


def _threshold_in_words(bands: list[dict]) -> str:
    near = [line for line in bands if line["low"] >= NEAR]
    agree, n = sum(line["agree"] for line in near), sum(line["n"] for line in near)
    below = bands[0]
    return (
        f"Of {n:,} clean test rows that correlate {NEAR:.2f} or more with a row of an earlier part "
        f"{_percent(agree / n)} have its label; of those at {below['low']:.2f} to {below['high']:.2f} "
        f"{_percent(below['agree'] / below['n'])}, of rows paired at random {_percent(below['chance'])}."
    )


def two_test_sets(groups: list[list[dict]]) -> Cause:
    lines = _with_names(rows.halves(groups))
    if not lines:
        return Cause(["No model that learned was scored on PublicTest and PrivateTest yet."])
    difference = statistics.t_interval([line["difference"] for line in lines])
    easier = sum(line["difference"] > 0 for line in lines)
    text = f"PrivateTest is easier than PublicTest for {easier} of {_number(len(lines), 'model')} that learned, by "
    text += f"{_points(difference)} on average over the models"
    text += "." if _direction(difference) else ": too little to tell which is easier."
    figure = figures.forest([(line["name"], line["rows"]) for line in lines], "PrivateTest minus PublicTest (points)")
    caption = (
        "Right of 0 PrivateTest is the easier one. The same models, last epoch, on both test sets; bars are 95 % "
        "intervals over rows."
    )
    listed = _table(lines, {
        "Model": "name", "Seeds": "seeds", "PublicTest, %": "public", "PrivateTest, %": "private",
        "Difference, points [over rows]": "rows",
    })  # fmt: skip
    return Cause([text], [captioned(figure, caption), listed])


def label_noise(groups: list[list[dict]]) -> Cause:
    if not (file := ferplus.find()):
        return Cause(["The FER+ file is not here, so nothing is known of doubtful labels: `make report FERPLUS=PATH`."])
    lines = _with_names(rows.label_noise(groups, ferplus.load()[0]))
    if not lines:
        return Cause(["No model that learned has been run on the official FER2013 yet."])
    best = max(lines, key=lambda line: line["agreed"]["accuracy"])
    agreed, other, theirs = (_percent(best[key]["accuracy"]) for key in ("agreed", "other", "taggers"))
    conclusion = [
        f"*{best['title']}* recognises {agreed} of the {best['agreed']['n']:,} rows of PrivateTest where most of "
        f"FER+'s ten taggers chose the label, and {other} of the {best['other']['n']:,} where they chose another "
        f"emotion; for {theirs} of the latter it predicts the taggers' choice.",
        f"The difference is {_between(line['rows'][0] for line in lines)} in "
        f"{_number(len(lines), 'model')} that learned.",
    ]
    if seconds := [line["second"] for line in lines if line["second"]]:
        sure = sum(_direction(second["difference"]) > 0 for second in seconds)
        conclusion.append(
            "Where the first prediction is wrong, the second is the label "
            f"{_between(s['difference'][0] for s in seconds)} more often on rows whose label most taggers chose than "
            f"on the others, in {_number(len(seconds), 'network')} ({sure} of them with an interval above 0)."
        )
    largest = _largest_of_each_model(lines, lambda line: line["agreed"]["accuracy"])
    figure = captioned(figures.agreement([(line["name"], line["levels"]) for line in largest]), (
        f"{_falls(largest)} Accuracy on PrivateTest by how many of ten FER+ taggers chose the label that the row is "
        "scored by; 95 % Wilson intervals. Of each architecture the network that agrees best."
    ))  # fmt: skip

    listed = _table(lines, {
        "Model": "name", "Seeds": "seeds", "Label agreed with, %": "agreed.accuracy",
        "Label not agreed with, %": "other.accuracy", "Difference, points [over rows]": "rows",
        "There, scored by the taggers' choice, %": "taggers.accuracy",
        "Second prediction right where the first is wrong, label agreed with, %": "second.agreed",
        "... not agreed with, %": "second.other", "... difference, points": "second.difference",
    })  # fmt: skip
    return Cause(conclusion, [figure, listed, f"Taggers: {ferplus.NAME}, MD5 {system.file_hash(file, 'md5')}.\n"])


def _falls(lines: list[dict]) -> str:
    """For how many models accuracy is lower where the fewest taggers chose the label than where all did, in words."""
    ends = [[part["accuracy"] for part in line["levels"].values()] for line in lines]
    falls = sum(own[-1] < own[0] for own in ends)
    return f"Where fewer taggers chose the label accuracy is lower, in {falls} of {_number(len(lines), 'model')} here."


# ---- Numbers in sentences and tables


def _percent(share: float) -> str:
    """ "60.58 %", which no line breaks."""
    return f"{100 * share:.2f}\u00a0%"


def _points(difference: tuple[float, float, float], unit: str = " points") -> str:
    """ "+34.20 points [+30.10, +38.00]": a difference of fractions with its interval, where there is one."""
    value, *ends = difference
    return f"{100 * value:+.2f}{unit}" + ("" if math.isnan(ends[0]) else f" {interval(ends, '+')}")


def _table(lines: list[dict], columns: dict[str, str | Callable[[dict], object]]) -> str:
    """A Markdown table of lines: each column's head with a key of a line ("agreed.accuracy": of a dict in it), or a
    function of a line.

    Fractions stand in percent, those of several seeds as their mean, differences with their intervals in points, all
    without the unit; None as a dash.
    """

    def cell(line, of):
        value = of(line) if callable(of) else reduce(lambda part, key: part and part[key], of.split("."), line)
        if isinstance(value, tuple):
            return _points(value, "")
        return "–" if value is None else f"{100 * np.mean(value):.2f}" if isinstance(value, float | list) else value

    return table([{head: cell(line, of) for head, of in columns.items()} for line in lines])


def _counted(k: int, n: int) -> str:
    """ "6 of 6 [61, 100 %]": a count with Wilson's interval in percent."""
    low, high = statistics.wilson(k, n)
    return f"{k} of {n} [{100 * low:.0f},\u00a0{100 * high:.0f}\u00a0%]"


def _range(fractions: Iterable[float], sign: str = "") -> str:
    """ "58.90 to 60.58": the lowest and the highest of fractions, in percent."""
    values = [f"{100 * value:{sign}.2f}" for value in sorted(fractions)]
    return " to ".join(dict.fromkeys([values[0], values[-1]]))


def _between(differences: Iterable[float]) -> str:
    """ "+6.87 to +39.47 points": the range of differences of fractions."""
    return f"{_range(differences, '+')} points"


def _number(count: int, what: str) -> str:
    """ "one seed", "3 seeds"."""
    return f"one {what}" if count == 1 else f"{count:,} {what}s"


def _missing(
    names: Iterable[str], groups: Iterable[list[dict]], experiments: dict[str, dict], what: str = "Not run yet"
) -> list[str]:
    """A sentence with the command that makes those experiments that none of ``groups`` is of; [] where all are."""
    made = {group[0]["experiment"] for group in groups}
    lacking = [name for name in dict.fromkeys(names) if name not in made]
    return [f"{what}: {tables.how_to_run(lacking, experiments)}.\n"] if lacking else []


def _with_names(lines: list[dict]) -> list[dict]:
    return [line | {"name": name} for line, name in zip(lines, tables.names(lines))]


def _largest_of_each_model(lines: list[dict], size: Callable[[dict], float]) -> list[dict]:
    """The lines (see ``_with_names``) that a figure has room for: of each model the one of the largest size."""
    largest = {line["model"]: line["name"] for line in sorted(lines, key=size)}
    return [line for line in lines if line["name"] in largest.values()]


def _direction(difference: tuple[float, float, float]) -> int:
    """1 or -1 where a difference's interval leaves out 0 on that side; 0 where it does not, or there is none."""
    _, low, high = difference
    return 1 if low > 0 else -1 if high < 0 else 0

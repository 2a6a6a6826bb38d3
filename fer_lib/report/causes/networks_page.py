"""Choosing, overfitting and open choices as a reader sees them (numbers: ``networks``)."""

from __future__ import annotations

from ...claims import rules
from ...evaluation import pooled, statistics
from ...markdown import table
from .. import figures
from . import figures as pictures
from . import networks
from .words import Cause, between, cell, direction, joined, missing, names_of, number, one_a_model, percent, points

REPORTED = {"PublicTest": 62.0, "PrivateTest": 60.0}
"""What Vorontsov and Averkin 2018, section 2, report, in percent; that their validation and test batches are these rows
is our assumption."""


def choosing(groups) -> Cause:
    lines = networks.choosing(groups)
    if not lines:
        return Cause(["No network that learned has a history of two epochs yet, so there was nothing to choose."])
    worth = statistics.t_interval([line["spread"][0] for line in lines])
    largest = max(value for line in lines for value in line["worth"])
    said = (
        f"To choose the epoch on the rows that are scored is worth {points(worth)} on PrivateTest, on average over "
        f"{number(len(lines), 'network')} that learned (at most {100 * largest:.2f} in one run), against "
        "choosing it on PublicTest."
    )
    ended = [(a, b) for line in lines for a, b in zip(line["stopped_own"], line["stopped"]) if None not in (a, b)]
    conclusion = [said]
    if ended:
        gain = statistics.t_interval([a - b for a, b in ended])
        conclusion.append(
            f"To stop training on them ({networks.PATIENCE} epochs without a lower loss), instead of on PublicTest, "
            f"moves it by {points(gain)} over {number(len(ended), 'run')}."
        )
    titles, mean = names_of(lines), lambda values: f"{100 * sum(values) / len(values):.2f}"
    rows = [
        {
            "Network": title, "Seeds": line["seeds"], "Both tests, last epoch, %": mean(line["last"]),
            "Both tests, best epoch, %": mean(line["best"]), "PrivateTest, epoch best there, %": mean(line["own"]),
            "PrivateTest, epoch best on PublicTest, %": mean(line["honest"]),
            "Worth, points [t interval]": cell(line["spread"]),
        }
        for title, line in zip(titles, lines)
    ]  # fmt: skip
    dumbbells = [
        (title, float(mean(line["honest"])) / 100, float(mean(line["own"])) / 100, False)
        for title, line in zip(titles, lines)
    ]
    names = ("epoch best on PublicTest", "epoch best on PrivateTest itself")
    figure = pictures.dumbbells(dumbbells, names, "Accuracy on PrivateTest (%)")
    caption = "PrivateTest accuracy at the epoch chosen on PublicTest, and at the epoch that is best on PrivateTest."
    return Cause(conclusion, [figures.captioned(figure, caption), table(rows)])


def overfitting(groups, experiments) -> Cause:
    lines = networks.overfitting(groups)
    if not lines:
        return Cause(["No network that learned is there yet."])
    widest = max(lines, key=lambda line: line["spread"][0])
    conclusion = [
        f"After the last epoch training accuracy lies {between(line['spread'][0] for line in lines)} above test "
        f"accuracy in {number(len(lines), 'network')} that learned; widest for *{widest['title']}*, "
        f"{points(widest['spread'])}: {percent(widest['training'])} against {percent(widest['test'])}."
    ]
    titles, shown = names_of(lines), networks.networks(groups)
    places = one_a_model(lines, lambda line: line["spread"][0])
    drawn = [(shown[k], pooled.reading(shown[k][0])[1], titles[k]) for k in places]
    figure = pictures.training_and_test(drawn)
    body = [figures.captioned(figure, (
        "Accuracy after each epoch, mean over seeds: dashed on the training rows (dropout on), whole on the test rows. "
        "Of each architecture the network with the widest gap."
    ))]  # fmt: skip
    body.append(table([
        {"Network": title, "Seeds": line["seeds"], "Training, %": f"{100 * line['training']:.2f}",
         "Test, %": f"{100 * line['test']:.2f}", "Gap, points [t interval]": cell(line["spread"])}
        for title, line in zip(titles, lines)
    ]))  # fmt: skip
    helped = networks.remedies(groups, experiments)
    if helped:
        better = [line for line in helped if direction(line["rows"]) > 0 and direction(line["spread"]) > 0]
        which = [f"{line['changed']} ({line['title']}: {points(line['spread'])} over seeds)" for line in better]
        few = sum(line["seeds"] < rules.SEEDS for line in helped)
        said = f"Of {number(len(helped), 'change')} that bear on it {len(better) or 'none'} gained accuracy for sure, "
        said += "over seeds and over rows" + (f" ({few} with fewer than {rules.SEEDS} seeds)" if few else "")
        conclusion.append(f"{said}: {joined(which)}." if which else f"{said}.")
        names = [f"{line['changed']}\n{line['title']}, {number(line['seeds'], 'seed')}" for line in helped]
        figure = pictures.forest(list(zip(names, (line["rows"] for line in helped))), "Gain in test accuracy (points)")
        caption = "What each change does to test accuracy, seeds and rows paired; 95 % interval over rows."
        body.append(figures.captioned(figure, caption))
        body.append(table([
            {"Change": line["changed"], "Network": line["title"], "Seeds": line["seeds"],
             "Before, %": f"{100 * line['before']:.2f}", "After, %": f"{100 * line['after']:.2f}",
             "Gain, points [over rows]": cell(line["rows"]), "[over seeds]": cell(line["spread"]),
             "Gap narrowed by, points": f"{100 * line['narrowed']:+.2f}"}
            for line in helped
        ]))  # fmt: skip
    body += missing([name for _, *both in networks.remedy_pairs(experiments) for name in both], groups)
    return Cause(conclusion, body)


def fillings(groups, experiments) -> Cause:
    lines = networks.fillings(groups, experiments)
    lacking = missing(networks.filling_names(experiments), groups)
    if not lines:
        return Cause(["No run of the eleven-layer network is there yet."], lacking)
    parts = []
    for rows, reported in REPORTED.items():
        means = [100 * line[rows]["mean"] for line in lines]
        low, high = min(means), max(means)
        where = "above" if reported > high else "below" if reported < low else "within"
        band = f"{low:.2f} to {high:.2f}\u00a0%" if len(lines) > 1 else f"{low:.2f}\u00a0%"
        parts.append(f"{band} on {rows} (reported: {reported:g}, {where}{' them' if len(lines) > 1 else ''})")
    reach = "reaches" if len(lines) == 1 else "reach"
    said = f"{number(len(lines), 'filling').capitalize()} of the eleven-layer network {reach} {joined(parts)}."
    if len(lines) < 3:
        said += " Too few to call it a band."
    titles = names_of([line | {"title": _filling(line)} for line in lines])
    figure = figures.captioned(pictures.fillings(lines, titles, REPORTED), (
        "Accuracy of each filling of what the paper leaves open: rings are seeds, dots their mean, bars the 95 % t "
        "interval over seeds; shaded the band of the means, dashed what the paper reports."
    ))  # fmt: skip
    rows = [
        {"Filling": title, "Experiment": f"`{line['experiment']}`", "Seeds": line["seeds"]}
        | {f"{name}, %": f"{100 * line[name]['mean']:.2f}" for name in REPORTED}
        for title, line in zip(titles, lines)
    ]
    return Cause([said], [figure, table(rows), *lacking])


def _filling(line: dict) -> str:
    changed = [f"{name.replace('_', ' ')} {value}" for name, value in line["changed"].items()]
    return ", ".join(changed) or "as first filled in"

"""Leaked rows, two test sets and doubtful labels as a reader sees them (numbers: ``rows``)."""

from __future__ import annotations

from ...evaluation import statistics
from ...markdown import table
from .. import figures
from . import figures as pictures
from . import rows as test_rows
from .words import Cause, between, cell, direction, joined, missing, names_of, number, one_a_model, percent, points


def leaked(groups, experiments, leaked) -> Cause:
    if not len(leaked):
        return Cause(
            ["No list of leaked rows lies in `audit/` beside these runs (`python -m fer_lib audit` writes it)."]
        )
    lines = test_rows.leakage(groups, leaked)
    if not lines:
        return Cause(["No run on the official FER2013 with the fixed test rows is there yet."])
    able = [line for line in lines if line["learned"]]
    conclusion, body = [], []
    if able:
        most = max(able, key=lambda line: line["alike"][0])
        sure = sum(direction(line["alike"]) > 0 for line in able)
        conclusion.append(
            f"{sure} of {number(len(able), 'model')} that learned answer rows whose image stands in Training rightly "
            "more often than clean rows of the same emotions (interval over rows above 0): by "
            f"{between(line['alike'][0] for line in able)}, which makes {between(line['share'][0] for line in able)} "
            f"of their accuracies. Most of all *{most['title']}*, {points(most['alike'])}: it has "
            f"{percent(most['leaked'])} of the leaked rows right, {percent(most['clean'])} of the clean, and owes them "
            f"{points(most['share'])} of its {percent(most['accuracy'])}."
        )
    else:
        conclusion.append("No model that learned is there yet; collapsed ones know no row by heart.")
    titles = names_of(lines)
    dumbbells = [(t, line["clean"], line["leaked"], not line["learned"]) for t, line in zip(titles, lines)]
    figure = pictures.dumbbells(dumbbells, ("clean rows", "leaked rows"), "Accuracy (%)")
    body.append(figures.captioned(figure, (
        "Accuracy on test rows whose image stands in Training, and on the others. A collapsed network knows nothing by "
        "heart: its difference is that of the mix of emotions."
    )))  # fmt: skip
    body.append(table([
        {
            "Model": title, "Seeds": line["seeds"], "Leaked rows": f"{line['n_leaked']:,} of {line['n']:,}",
            "On them, %": f"{100 * line['leaked']:.2f}", "On clean rows, %": f"{100 * line['clean']:.2f}",
            "Difference, points [over rows]": cell(line["rows"]), "[over seeds]": cell(line["spread"]),
            "At equal mix of emotions": cell(line["alike"]), "Share of the accuracy, points": cell(line["share"]),
        }
        for title, line in zip(titles, lines)
    ]))  # fmt: skip
    again = test_rows.retrained(groups, experiments, leaked)
    for line in again:
        parts = [f"{points(line[name]['rows'])} on {name} rows" for name in ("leaked", "clean", "all")]
        seeds = number(line["seeds"], "seed")
        conclusion.append(f"Trained without the twins, *{line['title']}* ({seeds}) has {joined(parts)}.")
    if again:
        rows = [
            (f"{line['title']}: {name} rows", line[name]["rows"])
            for line in again
            for name in ("leaked", "clean", "all")
        ]
        figure = pictures.forest(rows, "Without the twins minus with them (points)")
        body.append(
            figures.captioned(figure, "What training without the twins of test rows changes; same seeds, same rows.")
        )
    pairs = [name for names in test_rows.twin_pairs(experiments) for name in names]
    body += missing(pairs, groups, "The training without twins is not run yet")
    return Cause(conclusion, body)


def halves(groups) -> Cause:
    lines = test_rows.halves(groups)
    if not lines:
        return Cause(["No model that learned was scored on PublicTest and PrivateTest yet."])
    difference = statistics.t_interval([line["difference"] for line in lines])
    easier = sum(line["difference"] > 0 for line in lines)
    said = (
        f"PrivateTest is the easier one for {easier} of {number(len(lines), 'model')} that learned, by "
        f"{points(difference)} on average over the models"
    )
    said += "." if direction(difference) else ": not enough of them to tell."
    titles = names_of(lines)
    figure = pictures.forest(
        [(t, line["rows"]) for t, line in zip(titles, lines)], "PrivateTest minus PublicTest (points)"
    )
    rows = [
        {"Model": title, "Seeds": line["seeds"], "PublicTest, %": f"{100 * line['public']:.2f}",
         "PrivateTest, %": f"{100 * line['private']:.2f}", "Difference, points [over rows]": cell(line["rows"])}
        for title, line in zip(titles, lines)
    ]  # fmt: skip
    caption = "The same models, last epoch, on both test sets; 95 % interval of the rows' sampling."
    return Cause([said], [figures.captioned(figure, caption), table(rows)])


def label_noise(groups) -> Cause:
    counts = test_rows.taggers()
    if counts is None:
        return Cause(["The FER+ file is not here, so nothing is told of doubtful labels: `FERPLUS=PATH make report`."])
    lines = test_rows.label_noise(groups, counts)
    if not lines:
        return Cause(["No model that learned on the official FER2013 is there yet."])
    best = max(lines, key=lambda line: line["agreed"]["accuracy"])
    agreed, other, theirs = (best[key]["accuracy"] for key in ("agreed", "other", "taggers"))
    n, m = best["agreed"]["n"], best["other"]["n"]
    said = (
        f"The label is met {between(line['rows'][0] for line in lines)} more often where most of FER+'s ten taggers "
        f"chose it ({n:,} rows of PrivateTest) than where they chose another emotion ({m:,} rows), in "
        f"{number(len(lines), 'model')} that learned. *{best['title']}*: {percent(agreed)} against {percent(other)}, "
        f"{points(best['rows'])}; and {percent(theirs)} of the latter rows get the taggers' choice, not the label."
    )
    conclusion = [said]
    if seconds := [line["second"] for line in lines if line["second"]]:
        sure = sum(direction(second["difference"]) > 0 for second in seconds)
        conclusion.append(
            f"Where a network is wrong, its second answer is the label {between(s['difference'][0] for s in seconds)} "
            f"more often in rows whose label is agreed with than in the others, in {number(len(seconds), 'network')} "
            f"({sure} of them with an interval above 0)."
        )
    titles = names_of(lines)
    places = one_a_model(lines, lambda line: line["agreed"]["accuracy"])
    drawn = [(titles[k], lines[k]["levels"]) for k in places]
    figure = figures.captioned(pictures.agreement(drawn), (
        "Accuracy on PrivateTest by how many of ten FER+ taggers chose the label that the row is scored by; 95 % "
        "Wilson intervals. Of each architecture the network that agrees best."
    ))  # fmt: skip
    rows = [
        {
            "Model": title, "Seeds": line["seeds"], "Label agreed with, %": f"{100 * line['agreed']['accuracy']:.2f}",
            "Label not agreed with, %": f"{100 * line['other']['accuracy']:.2f}",
            "Difference, points [over rows]": cell(line["rows"]),
            "There by the taggers' choice, %": f"{100 * line['taggers']['accuracy']:.2f}",
            "Second answer right where the first is wrong, label agreed with, %": _rate(line["second"], "agreed"),
            "... not agreed with, %": _rate(line["second"], "other"),
            "... difference, points": cell(line["second"]["difference"]) if line["second"] else "–",
        }
        for title, line in zip(titles, lines)
    ]  # fmt: skip
    return Cause(conclusion, [figure, table(rows), f"Taggers: {test_rows.taggers_file()}.\n"])


def _rate(second: dict | None, rows: str) -> str:
    return f"{100 * second[rows]:.2f}" if second else "–"

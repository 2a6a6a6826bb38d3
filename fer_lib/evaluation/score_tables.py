"""What somebody's network scored (``scoring.report``), as Markdown that reads well in a terminal too."""

from __future__ import annotations

from ..data.emotions import FER2013
from ..markdown import interval, table


def scores(report: dict) -> str:
    """What ``scoring.report`` found, as Markdown that reads well in a terminal: each network, then both compared."""
    parts, source = [], report["data"]["source"]
    if not source.get("official"):
        parts.append(
            f"**Not the official FER2013**: a row is one of {source.get('file', 'this data')}, in its order, and may "
            "show another face than that row of fer2013.csv.\n"
        )
    parts += [_network(scored) for scored in report["files"]]
    if report["comparison"]:
        parts.append(_comparison(*(scored["file"] for scored in report["files"]), report["comparison"]))
    parts.append(
        "What each set is worth:\n\n" + "".join(f"- {name}: {text}\n" for name, text in report["worth"].items())
    )
    if "left_out" in report["ferplus"]:
        parts.append(f"Rows by how many of ten taggers agree are left out. {report['ferplus']['left_out']}\n")
    return "\n".join(parts)


def _network(scored: dict) -> str:
    lines = [
        {
            "Set": name,
            "Rows": f"{score['n']:,}",
            "Accuracy, %": f"{100 * score['accuracy']:.2f}",
            "Wilson interval": interval(score["interval"]),
            "Balanced accuracy, %": f"{100 * score['balanced_accuracy']:.2f}",
            "Macro F1, %": f"{100 * score['macro_f1']:.2f}",
            "Log-loss": f"{score['log_loss']:.4f}" if "log_loss" in score else "–",
            "Calibration error, %": f"{100 * score['calibration_error']:.2f}" if "log_loss" in score else "–",
        }
        for name, score in scored["sets"].items()
    ]
    few = {name: score for name, score in scored["sets"].items() if "agree" not in name and "leaked" not in name}
    recalls = [{"Recall, %": e} | {name: _recall(few[name]["recall"].get(e)) for name in few} for e in FER2013]
    remarks = []
    if lacking := scored["not_covered"].items():
        there = (f"{name} ({rows['present']:,} of {rows['n']:,} rows are there)" for name, rows in lacking)
        remarks.append(f"Not covered: {', '.join(there)}.")
    if scored["training_rows"]:
        remarks.append(f"{scored['training_rows']:,} Training rows are there too; no set scores them.")
    if gap := scored.get("leaked_minus_clean"):
        points = f"{100 * gap['difference']:+.2f} points {interval(gap['interval'], '+')}"
        remarks.append(f"Leaked minus clean rows of PrivateTest: {points}.")
    largest = max(scored["sets"], key=lambda name: scored["sets"][name]["n"])
    answers = ", ".join(f"{emotion} {count:,}" for emotion, count in scored["sets"][largest]["predicted"].items())
    remarks.append(f"Answers on {largest}: {answers}.")
    parts = [f"## {scored['file']}\n", table(lines, True), *remarks, "", table(recalls, True)]
    return "\n".join([*parts, *([_taggers(scored["taggers"])] if scored.get("taggers") else [])])


def _taggers(found: dict[str, dict]) -> str:
    lines = [
        {
            "Against FER+'s taggers": name,
            "Rows": f"{of['n']:,}",
            "A tagger agrees, %": f"{100 * of['agreement']:.2f} {interval(of['interval'])}",
            "with the label, %": f"{100 * of['agreement_of_label']:.2f}",
            "with another tagger at best, %": f"{100 * of['agreement_at_most']:.2f}",
            "Divergence": f"{of['divergence']:.4f}" if "divergence" in of else "–",
        }
        for name, of in found.items()
    ]
    said = (
        "How often one of the taggers who saw one of the seven emotions chose the network's answer, FER2013's label, "
        "and what most chose.\nDivergence: Kullback-Leibler's from the taggers' shares to the probabilities, in nats.\n"
    )
    return f"{table(lines, True)}\n{said}"


def _recall(found: dict | None) -> str:
    return f"{100 * found['recall']:.2f} {interval(found['interval'])}" if found else "–"


def _comparison(first: str, second: str, comparison: dict) -> str:
    lines = [
        {
            "Set": name,
            "Rows": f"{found['n']:,}",
            "Only first right": f"{found['only_first']:,}",
            "Only second right": f"{found['only_second']:,}",
            "Second minus first, points": f"{100 * found['difference']:+.2f}",
            "Paired bootstrap interval": interval(found["interval"], "+"),
            "McNemar's exact p": f"{found['mcnemar_p']:.3g}",
        }
        for name, found in comparison.items()
    ]
    return (
        f"## Second against first\n\n- first: {first}\n- second: {second}\n\n{table(lines, True)}\n"
        "Each line is a test of its own: decide before looking which set counts.\n"
    )

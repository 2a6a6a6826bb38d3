"""The figures of the report, each displayed in its notebook with a caption and words for who cannot see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display

from ..data.emotions import FER2013
from ..evaluation import calibration, pooled, records
from ..models.architectures import PAPERS
from . import figures, sections, tables
from .causes.networks import named


def show_first(judged: list[dict], all_records: list[dict], experiments: dict[str, dict]) -> None:
    """Display, in a notebook, what a reader should know first: the forest plot, the counts and the first findings."""
    if not judged:
        display(Markdown("No claim is judged here: that takes full runs on FER2013."))
        return
    from nbconvert.filters import markdown2html  # here: it is slow to import

    wide, narrow = figures.forest(judged), figures.forest(judged, narrow=True)
    plot = figures.captioned(wide, sections.CAPTION.replace("*", ""), sections.forest_in_words(judged), narrow).data
    found = "\n".join(f"- {sentence}" for sentence in sections.findings(judged))
    accuracies, own, *rest = sections.counts(judged, all_records, experiments)
    beside = markdown2html(f"{accuracies}\n\n{own}\n\n{found}")
    display(HTML(f'<div class="first">{plot}<div>{beside}</div></div>'))
    display(Markdown("\n\n".join([sections.papers(judged), *rest])))


def made_from(all_records: list[dict]) -> HTML:
    """Data, devices, versions and commits of the records, as an element that unfolds.

    It is no Markdown: nbconvert would close the element before its contents.
    """
    from nbconvert.filters import markdown2html

    facts = markdown2html(sections.facts(all_records) or "No runs yet.\n")
    return HTML(f"<details><summary>{sections.MADE_FROM}</summary>{facts}</details>")


def show_claims(judged: list[dict]) -> None:
    """Display, in a notebook, every claim in a line that unfolds to its reasons."""
    display(HTML(tables.claims_in_html(judged)) if judged else Markdown("None is judged here."))


def show_overview(all_records: list[dict], experiments: dict[str, dict]) -> None:
    """Display, in a notebook, reported and measured accuracies in one figure; nothing where there is no run."""
    measured = pooled.accuracies(pooled.comparable(all_records, experiments), experiments)
    if len(measured):
        caption = (
            "Look for long bars: there one seed says little. Accuracy as reported (diamond) and as measured here: each "
            "ring is a seed, the dot the mean of those that learned, the thick bar its 95 % t interval over seeds, the "
            "thin line the 95 % Wilson interval of the test rows' sampling."
        )
        accuracies = "; ".join(
            f"{row['title']}: {100 * row['mean']:.2f} %"
            + (f", reported {row['reported']:.2f} %" if pd.notna(row["reported"]) else "")
            for row in measured.to_dict("records")
        )
        in_words = f"Forest plot of accuracies. {accuracies}."
        display(figures.captioned(figures.accuracy_overview(measured), caption, in_words))


def show_networks(networks: dict[str, list[dict]]) -> None:
    """Display, in a notebook, what the papers' networks are made of (``networks``: ``architectures.load``'s)."""
    for name, title in PAPERS.items():
        if layers := networks.get(name):
            weights = sum(layer["parameters"] for layer in layers)
            operations = 2 * sum(layer["multiply_adds"] for layer in layers) / 1e6
            caption = (
                f"{title}: {weights:,} weights, most of them in the {_heaviest(layers)}; {operations:,.1f} MFLOP to "
                "classify one face. Read off the Keras model; the softmax belongs to the loss."
            )
            in_words = figures.network_in_words(layers, title)
            display(figures.captioned(figures.network(layers, title), caption, in_words))


def _heaviest(layers: list[dict]) -> str:
    """Which kind of layers holds most weights, and what share, in words."""
    kinds: dict[str, int] = {}
    for layer in layers:
        kinds[layer["kind"]] = kinds.get(layer["kind"], 0) + layer["parameters"]
    kind = max(kinds, key=kinds.get)
    name = {"Dense": "dense layers", "Conv2D": "convolutions"}.get(kind, kind)
    return f"{name} ({100 * kinds[kind] / sum(kinds.values()):.0f} %)"


def best(all_records: list[dict], experiments: dict[str, dict], study: str) -> tuple[list[dict], str]:
    """Of a study's experiments that were run, the group of the one with the highest reported accuracy, and a sentence
    on which it is; where several groups are of that one, the largest. No group where none was run."""
    reported = {
        name: experiment["reported"]["accuracy"]
        for name, experiment in experiments.items()
        if name.startswith(study) and "accuracy" in experiment.get("reported", {})
    }
    groups = [g for g in pooled.groups(all_records, experiments) if g[0]["experiment"] in reported]
    if not groups:
        return [], "None of its models has a run yet."
    group = max(groups, key=lambda g: (reported[g[0]["experiment"]], len(g)))
    name, champion = group[0]["experiment"], max(reported, key=reported.get)
    model = f"{experiments[name]['title']} ({pooled.computed_by(group)}; {_seeds(group)})"
    if name == champion:
        return group, f"The paper's best model: {model}."
    return group, (
        f"The paper's best model, {experiments[champion]['title']}, has no run yet. Of those that have, the best by "
        f"its report is shown instead: {model}."
    )


def show_best(all_records: list[dict], experiments: dict[str, dict], judged: list[dict], study="saravanan2019") -> None:
    """Display, in a notebook, the confusion matrix of a paper's best model as the paper divides it, and as one should.

    The paper's own diagonal comes from the claims on the recall of each emotion of that experiment.
    """
    group, sentence = best(all_records, experiments, study)
    display(Markdown(sentence))
    if not group:
        return
    counts, rows, experiment = pooled.confusion(group), _rows(group), group[0]["experiment"]
    claimed = {line["id"]: line["reported"] for line in judged if f"runs/{experiment}/" in "".join(line["runs"])}
    reported = [claimed.get(f"{study}/recall-{emotion}") for emotion in FER2013]
    brackets = ", in brackets the paper's own diagonal" if any(value is not None for value in reported) else ""
    diagonal = ", ".join(f"{e} {100 * r:.0f} %" for e, r in zip(FER2013, pooled.per_class(counts)[1]))
    display(
        figures.captioned(
            figures.confusion_matrix_as_published(counts, reported),
            "Compare the diagonal with the brackets; off it no cell is a share of anything. As Fig. 4 of the paper: "
            f"predictions on {rows}, divided by the faces of the predicted emotion{brackets}.",
            f"Confusion matrix in the paper's form. Its diagonal is recall: {diagonal}.",
        ),
        figures.captioned(
            figures.confusion_matrix(counts),
            f"{_mistaken(counts)} The same predictions, divided by the faces of the true emotion: share and count, "
            f"{_seeds(group, True)}.",
            f"Confusion matrix, rows adding up to one. Recall: {diagonal}.",
        ),
    )


def _mistaken(counts: np.ndarray) -> str:
    """Which emotion is recognised best, and which is taken most often for which other, in a sentence."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right, wrong = shares.diagonal(), shares - np.diag(shares.diagonal())
    true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"{FER2013[right.argmax()].capitalize()} is recognised best ({100 * right.max():.0f} %); {FER2013[true]} is "
        f"most often taken for {FER2013[predicted]} ({100 * wrong.max():.0f} %)."
    )


def show_emotions(all_records: list[dict], experiments: dict[str, dict]) -> None:
    """Display, in a notebook, precision, recall and F1 of each emotion, and how far confidence is earned: of the models
    of the papers."""
    of_papers = [record for record in all_records if not record["experiment"].startswith("ours/")]
    groups = pooled.groups(pooled.comparable(of_papers, experiments), experiments)
    if not groups:
        return
    names = tables.names(list(map(named, groups)))
    caption = (
        "Look down a column: light cells are emotions that models miss. Precision, recall and F1 of each emotion in "
        "percent, on each model's own test rows, seeds added up; a dash where the emotion was never predicted."
    )
    emotions = max((records.emotions(group[0]) for group in groups), key=len)
    measured = []
    for name, group in zip(names, groups):
        shares = pooled.per_class(pooled.confusion(group))
        unknown = len(emotions) - shares.shape[1]  # emotions that its data set does not have
        measured.append((name, np.pad(shares, ((0, 0), (0, unknown)), constant_values=np.nan)))
    display(figures.captioned(figures.per_class(measured, emotions), caption))
    curves = [(name, pooled.reliability(group)) for name, group in zip(names, groups) if group[0]["history"]]
    if curves:
        caption = (
            "Below the dashed line a network is more sure than it is right. Accuracy of the predictions within each of "
            f"{calibration.BINS} equal bins of confidence, seeds together, bins of fewer than {figures.FEW} "
            "predictions left out; a dot's area tells how many. ECE: the mean gap over all predictions, mean over "
            "seeds (Guo et al. 2017)."
        )
        errors = (f"{name} {100 * np.mean(curve['errors']):.1f} %" for name, curve in curves)
        in_words = f"Reliability diagrams. Expected calibration error: {'; '.join(errors)}."
        display(figures.captioned(figures.reliability(curves), caption, in_words))


def show_live(all_records: list[dict], folder: Path) -> None:
    """Display, in a notebook, the records of surveys before a camera, or how to make one.

    ``folder``: where the page will lie, so that it can link to the survey's own notebook.
    """
    surveys = [record for record in all_records if "conditions" in record]
    if not surveys:
        display(Markdown("Not run yet: `make reproduce PROFILE=full ONLY=ours/live_conditions`."))
    for record in surveys:
        lines, arrays, asked = record["conditions"], records.predictions(record), record["parameters"]
        who = f"{len(arrays['labels']):,} faces of {asked['split']} of {record['data']['name']}"
        how = f"{who}, each frame as a video's first; {record['device']['name']}."
        emotions = tables.survey_emotions(lines, arrays, arrays["labels"], records.emotions(record))
        display(
            Markdown(f"{how} {sections.delay(lines, arrays)} {sections.notebooks_of([record], folder)}\n\n{emotions}"),
            Markdown(
                "From the frame to the prediction, of all faces, by the detector that looked for them; `paper` is the "
                "Haar cascade as Saravanan's code has it:\n\n"
                + tables.survey_detectors(lines, arrays, records.emotions(record))
            ),
            figures.captioned(figures.conditions(lines, "found"), figures.FOUND_CAPTION),
            figures.captioned(figures.conditions(lines, "right_of_found"), figures.RECOGNISED_CAPTION),
            Markdown(tables.survey_conditions(lines)),
        )


def show_sections(all_records: list[dict], experiments: dict[str, dict], folder: Path) -> None:
    """Display, in a notebook, a section for each group of records: facts, curves, confusion matrix, predictions.

    ``folder``: where the page will lie, so that it can link to the runs' own notebooks.
    """
    groups = pooled.groups(all_records, experiments)
    for group, title in zip(groups, tables.names(list(map(named, groups)))):
        experiment = experiments.get(group[0]["experiment"], {})
        about, notebooks = sections.about(group, experiment), sections.notebooks_of(group, folder)
        display(Markdown(f"## {title}\n\n{about}\n\n{notebooks}"))
        if group[0]["history"]:
            curves = figures.learning_curves(group, experiment.get("reported", {}).get("accuracy"))
            caption = f"{_fit(group)} {title}: accuracy after each epoch, thin for each seed, thick for their mean"
            band = ", the band from the lowest to the highest seed" if len(group) > 1 else ""
            caption += f"{band}. Training accuracy is the epoch's running mean, dropout on."
            display(figures.captioned(curves, caption))
        counts = pooled.confusion(group)
        matrix = figures.confusion_matrix(counts, records.emotions(group[0]))
        shares = "share and count of the predictions for each emotion"
        recognised = 100 * counts.diagonal().sum() / counts.sum()
        seen = f"On the diagonal is what was recognised: {recognised:.1f} % of all predictions."
        caption = f"{seen} {title}: {shares} on {_rows(group)}, {_seeds(group, True)}."
        display(figures.captioned(matrix, caption), Markdown(tables.predicted(group)))


def _fit(group: list[dict]) -> str:
    """How far training accuracy ends above that on the test rows, in a sentence."""
    rows = group[0]["parameters"].get("evaluation_rows", "PublicTest+PrivateTest")
    gaps = [100 * (run["history"][-1]["accuracy"] - run["history"][-1][f"{rows}_accuracy"]) for run in group]
    return f"At the end training accuracy is {np.mean(gaps):+.1f} points from that on {rows}."


def _seeds(group: list[dict], together: bool = False) -> str:
    return "one seed" if len(group) == 1 else f"{len(group)} seeds{' added up' * together}"


def _rows(group: list[dict]) -> str:
    return pooled.reading(group[0])[1].replace("held out", "the rows held out")

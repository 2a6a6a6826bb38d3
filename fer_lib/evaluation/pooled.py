"""Records taken together: which may be pooled, how accurate they are, how certain that is. Only numbers, all computed
from records; accuracies are fractions of 0 to 1."""

import json
from collections import Counter
from itertools import groupby

import numpy as np
import pandas as pd

from . import calibration, metrics, provenance, records, statistics

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "sklearn": "scikit-learn", "onnxruntime": "ONNX Runtime"}
HONEST = ("PublicTest", "PrivateTest", "PrivateTest clean")
NEAR_CLEAN = "PrivateTest" + records.NEAR_CLEAN
DIAGNOSTIC = ("4_first_steps", "6_live_conditions")
"""Notebooks whose runs score no network on a test set; they are in no table of accuracies."""


def reading(record: dict) -> tuple[str, str]:
    """Which score is a record's headline: (kept epoch, rows), such as ("last", "PublicTest+PrivateTest").

    Its own parameters say it. A tree has no epochs and keeps its last and only state; its rows are the held-out ones if
    it was fitted on a random part, otherwise the papers' 7,178.
    """
    parameters = record["parameters"]
    kept = parameters.get("kept_epoch", "last")
    usual = "held out" if "held out" in record["metrics"][kept] else "PublicTest+PrivateTest"
    return kept, parameters.get("evaluation_rows", usual)


def headline(record: dict) -> dict:
    """The score (n, correct, accuracy, predicted, recall ...) that ``reading`` names."""
    kept, rows = reading(record)
    return record["metrics"][kept][rows]


def with_milestones(all_records: list[dict], experiments: dict[str, dict]) -> list[dict]:
    """The records, and those derived from them: the first epochs of a longer run that kept a milestone."""
    result, kept = list(all_records), {}
    for record in all_records:
        if "milestone" in record["metrics"]:
            kept.setdefault(record["experiment"], []).append(record)
    for name, experiment in experiments.items():
        for record in kept.get(experiment.get("milestone_of"), []):
            epochs = record["metrics"]["milestone"]["epoch"]
            parameters = record["parameters"] | {"epochs": epochs, "patience": 0, "kept_epoch": "milestone"}
            result.append(record | {
                "experiment": name,
                "title": experiment["title"],
                "parameters": parameters,
                "metrics": {"milestone": record["metrics"]["milestone"]},
                "history": record["history"][:epochs],
            })  # fmt: skip
    return result


def groups(all_records: list[dict], experiments: dict[str, dict]) -> list[list[dict]]:
    """Groups of records that may be pooled: they differ only in the seed.

    Another backend, precision, kind of device, profile, data set or parameter makes another group; a record older than
    a parameter counts as having its default. In the order of ``experiments``, those without an experiment file last. A
    table row that is the first epochs of another row's runs is a group too. A record without scores (of a sweep or a
    survey) is in none.
    """
    order = {name: place for place, name in enumerate(experiments)}

    def key(record):
        experiment = experiments.get(record["experiment"], {})
        made_by = experiments.get(experiment.get("milestone_of"), experiment)
        parameters = made_by.get("defaults", {}) | record["parameters"] | {"seed": 0}
        identity = [record[name] for name in ("experiment", "backend", "precision", "profile")]
        identity += [record["device"]["kind"], record["data"]["sha256"], json.dumps(parameters, sort_keys=True)]
        return order.get(record["experiment"], len(order)), *identity

    scored = sorted(with_milestones([r for r in all_records if r["metrics"]], experiments), key=key)
    return [sorted(group, key=lambda r: r["seed"]) for _, group in groupby(scored, key=key)]


def computed_by(group: list[dict]) -> str:
    """Backend, precision and kind of device of a group, such as "TensorFlow, float32, CPU"."""
    backend = group[0]["backend"].split("-")[0]
    return f"{BACKENDS.get(backend, backend)}, {group[0]['precision']}, {group[0]['device']['kind'].upper()}"


def spread(scores: list[dict]) -> dict:
    """For several seeds' scores on one set of rows: the accuracies, and their mean with its two kinds of spread.

    Mean and t interval (``low``, ``high``) are over the seeds that learned, as for the claims, or over all if all
    collapsed; a mean over both would describe neither. The interval is NaN for one seed, and for seeds that collapsed
    to different emotions. ``wilson_low`` and ``wilson_high``: the sampling of the ``n`` test rows, at the mean
    accuracy.
    """
    accuracies, n = [score["accuracy"] for score in scores], scores[0]["n"]
    learned = [score["accuracy"] for score in scores if not metrics.collapsed(score)]
    mean, low, high = statistics.t_interval(learned or accuracies)
    if not learned and len({metrics.collapsed(score) for score in scores}) > 1:
        low = high = float("nan")
    wilson = statistics.wilson(min(mean, 1.0) * n, n)
    names = ("accuracies", "seeds", "n", "mean", "low", "high", "wilson_low", "wilson_high")
    return dict(zip(names, (accuracies, len(scores), n, mean, low, high, *wilson)))


def accuracies(all_records: list[dict], experiments: dict[str, dict]) -> pd.DataFrame:
    """One row for each group of records, read by the experiment's own protocol.

    Columns: experiment, title, where, reported (the paper's accuracy in percent, or None), rows (scored), epochs (a
    list, None for a tree), computed_by, the columns of ``spread``, remarks (a list of sentences).
    """
    lines = []
    for group in groups(all_records, experiments):
        experiment = experiments.get(group[0]["experiment"], {})
        kept, rows = reading(group[0])
        lines.append({
            "experiment": group[0]["experiment"],
            "title": group[0]["title"],
            "where": experiment.get("where", ""),
            "reported": experiment.get("reported", {}).get("accuracy"),
            "rows": rows,
            "epochs": [record["metrics"][kept]["epoch"] if record["history"] else None for record in group],
            "computed_by": computed_by(group),
            **spread([headline(record) for record in group]),
            "remarks": remarks(group, experiment),
        })  # fmt: skip
    return pd.DataFrame(lines)


def remarks(group: list[dict], experiment: dict) -> list[str]:
    """What a reader of a group's mean must know: collapsed runs, a missing interval, other rows, stale records."""
    sentences, collapsed = [], [score for record in group if metrics.collapsed(score := headline(record))]
    rows, reported = reading(group[0])[1], experiment.get("reported", {}).get("rows")
    if collapsed:
        times = Counter(metrics.collapsed(score, records.emotions(group[0])) for score in collapsed)
        emotions = ", ".join(emotion if len(times) == 1 else f"{emotion} ({k}x)" for emotion, k in times.items())
        most = sorted({max(score["predicted"]) for score in collapsed})
        share = " to ".join(f"{count:,}" for count in dict.fromkeys([most[0], most[-1]]))
        rows_predicted = f"predicted for {share} of {collapsed[0]['n']:,} rows"
        sentences.append(f"{len(collapsed)} of {len(group)} collapsed to {emotions} ({rows_predicted})")
        if len(collapsed) < len(group):
            sentences.append(f"the mean is of the {len(group) - len(collapsed)} that learned")
        elif len(times) > 1:
            sentences.append("no t interval over different collapses")
    if other := experiment.get("milestone_of"):
        sentences.append(f"read off the runs of {other}")
    if reported and group[0]["precision"] != "float32":
        sentences.append(f"in {group[0]['precision']}, the paper in float32")
    if len(group) == 1:
        sentences.append("one seed: no interval over seeds")
    if reported and rows != reported:
        sentences.append(f"scored on {rows}, the paper on {reported}")
    if not experiment:
        sentences.append("no experiment file has this name any more")
    stale = sorted({reason for record in group for reason in provenance.stale(record)})
    return sentences + [f"stale: {reason}" for reason in stale]


def comparable(all_records: list[dict], experiments: dict[str, dict]) -> list[dict]:
    """The records without those of experiments marked ``diagnostic``, which are compared with nothing."""
    return [record for record in all_records if not experiments.get(record["experiment"], {}).get("diagnostic")]


def honest(all_records: list[dict], experiments: dict[str, dict]) -> pd.DataFrame:
    """The honest reading of the same runs: epoch chosen on PublicTest, scored on PrivateTest and its clean rows.

    A model without epochs has nothing to choose and is read as it is. Groups without such a reading, those that are
    not ``comparable``, and those that are scored on PublicTest by their own protocol are left out. Columns:
    experiment, title, epochs, computed_by, stopped_on (the rows that decided how long training went on, where
    PrivateTest was among them, else ""), and for each of ``HONEST`` and for ``NEAR_CLEAN`` the dict of ``spread``, for
    the last None where the data is not the official.
    """
    lines = []
    for group in groups(comparable(all_records, experiments), experiments):
        if reading(group[0])[1] == "PublicTest":  # runs that only choose
            continue
        scores = [r["metrics"].get("best") or ({} if r["history"] else r["metrics"]["last"]) for r in group]
        if not all(name in score for score in scores for name in HONEST):
            continue
        parameters = group[0]["parameters"]
        watched = parameters.get("validation_rows", "") if parameters.get("patience") else ""
        lines.append({
            "experiment": group[0]["experiment"],
            "title": group[0]["title"],
            "epochs": [s["epoch"] if r["history"] else None for s, r in zip(scores, group)],
            "computed_by": computed_by(group),
            "stopped_on": watched if "PrivateTest" in watched else "",
            **{name: spread([score[name] for score in scores]) for name in HONEST},
            NEAR_CLEAN: _near_clean(group),
        })  # fmt: skip
    return pd.DataFrame(lines)


def _near_clean(group: list[dict]) -> dict | None:
    if not all(map(records.is_official, group)):
        return None
    kept = ["best" if record["history"] else "last" for record in group]
    return spread([records.scores(record, epoch, NEAR_CLEAN) for record, epoch in zip(group, kept)])


def outcomes(sweep: list[dict]) -> list[dict]:
    """The outcomes of a sweep's settings as lines of a table; settings that differ only in the seed are pooled."""
    settings = pd.DataFrame(sweep).groupby(["input_scale", "loss", "learning_rate"], sort=False)
    lines = []
    for (scale, loss, rate), some in settings:
        emotions = Counter(some["collapsed_to"].dropna())
        lines.append({
            "Pixels": scale,
            "Loss": loss,
            "Learning rate": f"{rate:g}",
            "Seeds": len(some),
            "Collapsed": sum(emotions.values()),
            "To": ", ".join(f"{emotion} {count}x" for emotion, count in emotions.most_common()) or "–",
            "Without gradient at the end": int(some["stuck_since"].notna().sum()),
            "Loss, first step": f"{some['first_loss'].mean(skipna=False):.2f}",
            "Last step": f"{some['final_loss'].mean(skipna=False):.2f}",
            "Accuracy, %": f"{100 * some['accuracy'].mean():.1f}",
        })  # fmt: skip
    return lines


def confusion(group: list[dict]) -> np.ndarray:
    """Counts (k, k) int64 over the headline's rows, true emotion down, predicted across, summed over a group's seeds.

    k emotions are those of ``records.emotions``.
    """
    return sum(_confusion(record, len(records.emotions(group[0]))) for record in group)


_confusions: dict[tuple, np.ndarray] = {}


def _confusion(record: dict, k: int) -> np.ndarray:
    """``confusion`` of one record, counted once: a page shows it by itself and within its group."""
    key = record["predictions_sha256"], *reading(record), k
    if key not in _confusions:
        arrays = records.row_predictions(record, *key[1:3], ("labels", "classes"))
        cells = arrays["labels"].astype(np.int64) * k + arrays["classes"]
        _confusions[key] = np.bincount(cells, minlength=k * k).reshape(k, k)
    return _confusions[key]


def per_class(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 (3, k) of each emotion, from ``confusion``'s counts; NaN where the divisor is 0:
    precision of an emotion that was never predicted, recall and F1 of one without rows."""
    from sklearn.metrics import precision_recall_fscore_support  # slow to import

    true, predicted = np.indices(counts.shape).reshape(2, -1)
    *scores, rows = precision_recall_fscore_support(true, predicted, sample_weight=counts.ravel(), zero_division=np.nan)
    scores = np.array(scores)
    scores[2, rows == 0] = np.nan
    return scores


def reliability(group: list[dict]) -> dict:
    """How often a group's predictions are right, by confidence, over the headline's rows of all seeds.

    For ``calibration.BINS`` equal bins of confidence without the empty ones: confidence and accuracy (means) and counts
    (of predictions). errors: each seed's expected calibration error, a fraction.
    """
    seeds = []
    for record in group:
        arrays = records.row_predictions(record, *reading(record))
        confidence = arrays["probabilities"].max(axis=1).astype(np.float64)
        seeds.append((confidence, arrays["classes"] == arrays["labels"]))
    confidence, right = map(np.concatenate, zip(*seeds))
    place = calibration.bins(confidence)
    counts = np.bincount(place)
    some = counts > 0
    return {
        "confidence": np.bincount(place, confidence)[some] / counts[some],
        "accuracy": np.bincount(place, right)[some] / counts[some],
        "counts": counts[some],
        "errors": [calibration.calibration_error(*seed) for seed in seeds],
    }

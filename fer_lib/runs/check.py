"""Drift: committed runs are made again, and compared with their records.

A run is made from its record's own parameters by the notebook that made it, in a process of its own, with as many CPU
threads where the machine has them, below ``results/local/check``: neither ``results/runs`` nor ``results/unfinished``
is touched. Of a long run the first epochs may do. It then is the same notebook with the same parameters, stopped once
the checkpoint of the last of these epochs is there: so a learning rate that falls over the whole training falls as it
did, which with fewer ``epochs`` it would not. What such a run has is its history, and that is what is compared.

The rule (``RULE``) was written before the first comparison was made. The processor's generation came later, and so did
what a review of the rule found: docs/results.md says what.
"""

import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import paths, system
from ..claims.rules import ROWS_OFF, SEEDS, WIDTH
from ..data import SPLITS
from ..evaluation import metrics, pooled, provenance, records, statistics
from ..files import documents, refused, writing
from ..markdown import table
from . import ENGINES, dataset, experiments, notebooks, plan, run

SAME, WITHIN, UNDECIDED, DRIFTED, FAILED = "same", "within", "undecided", "drifted", "failed"
"""Verdicts; after the last two the exit code is 1."""
RULE = (
    "A run that is made again on the device (kind, name, processor, threads) and the versions (Python, Keras, "
    "engines, NumPy, scikit-learn) of its record must be equal: each class, each probability, each figure. Elsewhere, "
    "and where the record of a CPU does not name its processor, equality is not demanded. Then the rows come first: "
    "within if the 95 % interval of the difference in accuracy between record and new run, for another sample of rows, "
    "includes 0 and ends at most 3 points from it. (Of first epochs no record has the rows' classes: the two "
    "accuracies must then be at most 3 rows apart, too.) Otherwise the record's seeds judge: the new accuracy must be "
    "within the prediction interval of one new run, at 95 % for all runs of a call together (Bonferroni: each of m "
    "runs at 1 - 0.05/m). Inside an interval of more than 3 points each way it is undecided: width must not buy a "
    "verdict. A collapsed network is another outcome than one that learned and is compared with its like. Where the "
    "record had another outcome, and fewer than half of its seeds had the new one, the new one is never within: one "
    "run does not tell whether it has become the rule. An outcome that no seed had counts as drift only from 20 seeds "
    "on, times m; of fewer, one such run is no rarity. With fewer than 3 seeds of its like the seeds decide nothing, "
    "and the rows' interval does: within if it includes 0 and ends at most 3 points from it, drift if all of it is "
    "beyond 3 points. All else is undecided."
)
DEFAULT = {"saravanan2019/table1_decision_tree": 0, "ours/cause_feedforward_scaled": 2}
"""What is made again where nothing is named, and of how many epochs; 0: whole. A tree and a network that learns, both
cheap: one minute each on two cores."""
PUBLIC = SPLITS.index("PublicTest")
TIMES = ("seconds", "training_seconds")
"""Figures of a history that no two runs have in common."""
RARE = 20
"""Seeds, none of which had an outcome, that make it one of fewer than 5 % of the runs."""
UNRECORDED = "processor not recorded"
UNKNOWN = (
    "the record does not say which generation its processor was of, and these round differently; on TensorFlow "
    "ONEDNN_MAX_CPU_ISA=AVX2 computes as one without AVX-512"
)
LOOKS = 0.1
"""Seconds between two looks for a checkpoint."""


class Outcome(NamedTuple):
    """One run's comparison, as it stands in the table and in ``check.json``."""

    run: str  # "saravanan2019/table1_decision_tree seed 0, scikit-learn, float32"
    compared: str  # "whole run", "first 2 epochs"
    rule: str  # "exact", "seeds"
    differs: list[str]  # device and versions here that are not the record's, or not known: see ``differing``
    difference: dict  # figures: see ``of_predictions`` and ``of_epochs``; {} where the run failed
    verdict: str
    because: str


def check_results(names: Sequence[str], seed: int = 0, epochs: int = 0) -> int:
    """Make committed runs again, print how they compare, and return 1 where one drifted or failed, else 0.

    names: experiments with a record of this seed on ``KERAS_BACKEND`` and in ``PRECISION``; none: ``DEFAULT``. epochs:
    compare only so many first epochs, 1 or more; 0: the whole run (or what ``DEFAULT`` says). A run without epochs, or
    without more than these, is compared as a whole. The outcomes are kept in ``results/local/check/check.json``, after
    each run: what was found stays, should a later one be interrupted.

    Raises ValueError or FileNotFoundError before anything is made: for an unknown experiment, one without such a
    record or without scores, a damaged record, an engine or data that is not here.
    """
    chosen = dict.fromkeys(names, epochs) if names else {name: own and (epochs or own) for name, own in DEFAULT.items()}
    wanted = [(committed(name, seed, most), most) for name, most in chosen.items()]
    print(
        "Are the committed numbers still what the code gives? Each run is made again and compared with its record: "
        "equal on the same device and versions, else an accuracy that a new run could have, by its rows or the seeds.",
        flush=True,
    )
    outcomes = []
    for record, most in wanted:
        outcomes.append(check(record, most if most < len(record["history"]) else 0, len(wanted)))
        print(f"{outcomes[-1].run}: {outcomes[-1].verdict}. {outcomes[-1].because}", flush=True)
        lines = [outcome._asdict() for outcome in outcomes]
        writing.replace_text(_folder() / "check.json", json.dumps({"rule": RULE, "runs": lines}, indent=1) + "\n")
    print(f"\n{markdown(outcomes)}")
    return int(any(outcome.verdict in (DRIFTED, FAILED) for outcome in outcomes))


def _folder() -> Path:
    return paths.RESULTS / "local" / "check"


def committed(name: str, seed: int, epochs: int) -> dict:
    """The record of a run that can be made again here, whole (0) or so far. Raises what ``check_results`` says."""
    this = run(name, seed, "full")
    plan.finish_records("full")
    if not (this.folder / "metrics.json").is_file():
        there = sorted(path.parent.name for path in this.folder.parent.glob("*/metrics.json"))
        expected = f"a record; there are {', '.join(there)}" if there else "a record; the experiment has none"
        then = "name one of these by --seed, KERAS_BACKEND and PRECISION" if there else "name another"
        raise refused(this.folder, "none", expected, then)
    record = records.read(this.folder)
    if not record["metrics"]:
        raise refused(name, "a diagnostic without scores", "a run that is scored on a test set", "name another")
    engine = record["backend"]
    if engine in ENGINES and not find_spec(engine):
        then = f"use an environment that has it (make jax builds .venv-jax): KERAS_BACKEND={engine}"
        raise refused(f"{name}, its engine", f"no {engine}", "the record's", then)
    if epochs and record["history"] and not (records.predictions(record)["split"] == PUBLIC).any():
        found = f"{epochs} for a run that is not scored on PublicTest"
        raise refused(f"{name}, --epochs", found, "none", "leave it out: the whole run is compared")
    faces = dataset(record["data"]["name"])
    if faces.sha256 != record["data"]["sha256"]:
        found = f"other faces than the record's ({faces.source.get('file', faces.name)}, SHA-256 {faces.sha256[:12]})"
        expected = f"those of {record['data']['source'].get('file', record['data']['name'])}"
        raise refused(f"{name}, data", found, f"{expected}, {record['data']['sha256'][:12]}", "see docs/data.md")
    return record


def check(record: dict, epochs: int, runs: int) -> Outcome:
    """Make a record's run again, whole (0) or its first epochs, and judge the two by ``RULE``, as one of so many."""
    threads = min(record["device"]["threads"], os.cpu_count() or 1)
    differs = differing(record, device(record["backend"], threads), provenance.versions())
    title = f"{record['experiment']} seed {record['seed']}, {pooled.computed_by([record])}"
    compared = "whole run" if not epochs else f"first {'epoch' if epochs == 1 else f'{epochs} epochs'}"
    rule = "seeds" if differs else "exact"
    here = f"here {', '.join(differs)}" if differs else "device and versions are the record's"
    print(f"{title}: {compared}; {here}.", flush=True)
    folder = _folder() / record["folder"].relative_to(paths.RESULTS / "runs")
    problem = make(record, folder, threads, epochs)
    if problem:
        return Outcome(title, compared, rule, differs, {}, FAILED, problem)
    group = seeds_of(record)
    if epochs:
        difference, judged = of_epochs(record, history(folder), epochs, group, runs)
    else:
        difference, judged = of_predictions(record, records.read(folder), group, runs)
    hints = provenance.stale(record) or ["no watched code changed since the record was made"]
    if UNRECORDED in differs:
        hints.append(UNKNOWN)
    verdict, because = verdict_on(difference, judged, differs, hints)
    return Outcome(title, compared, rule, differs, difference, verdict, because)


# ---- making it again


def device(backend: str, threads: int) -> dict:
    """What would compute here with so many threads, as records have it: asked in a process that ends again, since an
    engine keeps its threads and the GPU."""
    code = f"from fer_lib import system; system.limit_threads({threads}); import json\n"
    if backend in ENGINES:
        code += "from fer_lib.training.backends import device as here\n"
    else:
        code += "from fer_lib.evaluation.records import cpu as here\n"
    command = [sys.executable, "-c", f"{code}print(json.dumps(here()))"]
    environment = os.environ | {"KERAS_BACKEND": backend} if backend in ENGINES else None
    done = subprocess.run(command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        raise RuntimeError(f"{backend} does not start here: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def differing(record: dict, here: dict, versions: dict) -> list[str]:
    """What is not the record's in a device and in versions here: "threads 1 instead of 2"; [] if all is.

    Where the record of a CPU does not say which processor of that name it was, ``UNRECORDED`` is the last: the machine
    may be another. Of a GPU neither driver nor libraries are compared: no record has them.
    """
    pairs = [(name, then, here.get(name)) for name, then in record["device"].items()]
    every = dict.fromkeys([*record["versions"], *versions])
    pairs += [(name, record["versions"].get(name), versions.get(name)) for name in every]
    unknown = record["device"]["kind"] == "cpu" and not record["device"].get("processor")
    named = [f"{name} {now or 'none'} instead of {then or 'none'}" for name, then, now in pairs if now != then]
    return named + [UNRECORDED] * unknown


def make(record: dict, folder: Path, threads: int, epochs: int) -> str:
    """Make a record's run again in a folder, which is emptied first; "" or why it failed.

    With ``epochs`` it is stopped as soon as a checkpoint after so many of them is there.
    """
    experiment = experiments()[record["experiment"]]
    known = notebooks.checked(experiment["notebook"], record["parameters"])  # an older record lacks newer parameters
    where = {"experiment": record["experiment"], "title": record["title"], "profile": record["profile"]}
    with system.locked(folder.with_name(f"{folder.name}.lock"), f"the check in {folder}"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        given = (experiment["notebook"], folder, known | where | {"record": str(folder)}, record, threads, os.getpid())
        process = multiprocessing.get_context("spawn").Process(target=_made, args=given)
        process.start()
        try:
            while process.is_alive() and not (epochs and len(history(folder)) >= epochs):
                process.join(LOOKS)
        finally:
            stopped = process.is_alive()
            process.kill()  # its kernel ends with it
            process.join()
            print(notebooks.CLEAR * (stopped and sys.stdout.isatty()), end="", flush=True)
    if stopped or (folder / "metrics.json").exists():
        return ""
    failure = folder / "failure.txt"
    return failure.read_text() if failure.exists() else f"it ended with exit code {process.exitcode}"


def _made(notebook: str, folder: Path, values: dict, record: dict, threads: int, owner: int) -> None:
    """The process in which a run is made again."""
    system.end_with(owner)
    system.limit_threads(threads)
    if record["backend"] in ENGINES:
        os.environ["KERAS_BACKEND"] = record["backend"]
    prefix = f"{record['experiment']} seed {record['seed']}: "
    if error := notebooks.execute(notebook, folder / "run.ipynb", values, prefix):
        place = f"cell {error['cell']}: " if error["cell"] else ""
        writing.replace_text(folder / "failure.txt", place + error["error"])


def history(folder: Path) -> list[dict]:
    """The epochs that a run made again has behind it: of its record, else of its newest checkpoint; [] before.

    Raises ValueError naming the file that has no list of epochs."""
    again = "make the run again"
    for place in [folder / "metrics.json", *sorted(folder.glob("checkpoint-*/state.json"), reverse=True)]:
        try:
            content = documents.read_json(place, then=again)
        except OSError:  # not there, or just replaced by the next
            continue
        epochs = content.get("history") if isinstance(content, dict) else None
        if not isinstance(epochs, list) or not all(isinstance(epoch, dict) for epoch in epochs):
            raise refused(place, "no list of epochs under 'history'", "one", again)
        return epochs
    return []


# ---- comparing


def seeds_of(record: dict) -> list[dict]:
    """The committed records that differ from this one in the seed alone, itself among them."""
    places = (paths.RESULTS / "runs" / record["experiment"]).glob("*/metrics.json")
    groups = pooled.groups([records.read(place.parent) for place in places], experiments())
    own = [group for group in groups if group[0]["experiment"] == record["experiment"]]
    return next(group for group in own if any(other["folder"] == record["folder"] for other in group))


def of_predictions(record: dict, new: dict, group: list[dict], runs: int = 1) -> tuple[dict, tuple[str, str]]:
    """A record against the same run made again: the difference, and what the seeds say of it (see ``by_seeds``).

    The difference: rows (of the headline), changed (of these, those with another class), probability (largest
    difference of one, 0 to 1), points (of accuracy, new minus record), unequal (figures of the record that the new one
    has otherwise, in words; "probabilities" and the like where arrays are unequal).
    """
    (kept, rows), old_arrays, arrays = pooled.reading(record), records.predictions(record), records.predictions(new)
    unequal = [name for name in old_arrays if not _alike(old_arrays[name], arrays.get(name))]
    unequal += unlike(record["metrics"], new["metrics"]) + unlike(record["history"], new["history"], "history")
    scores = pooled.headline(record), pooled.headline(new)
    difference = {"rows": scores[0]["n"], "points": 100 * (scores[1]["accuracy"] - scores[0]["accuracy"])}
    paired = None
    if _alike(old_arrays["ids"], arrays["ids"]):
        whole = rows.removesuffix(" clean")
        old, now = (records.row_predictions(each, kept, whole) for each in (record, new))
        largest = np.abs(now["probabilities"].astype(np.float32) - old["probabilities"].astype(np.float32)).max()
        difference |= {"changed": int((now["classes"] != old["classes"]).sum()), "probability": float(largest)}
        right = [each["classes"] == each["labels"] for each in (old, now)]
        paired = [100 * value for value in statistics.accuracy_difference(*right)]
    kinds = [metrics.collapsed(score) or "" for score in scores]
    seeds = [pooled.headline(other) for other in group]
    judged = by_seeds(
        100 * scores[1]["accuracy"],
        kinds[1],
        [100 * score["accuracy"] for score in seeds],
        [metrics.collapsed(score) or "" for score in seeds],
        paired if kinds[0] == kinds[1] else None,
        own=kinds[0],
        runs=runs,
    )
    return difference | {"unequal": unequal}, judged


def of_epochs(
    record: dict, new: list[dict], epochs: int, group: list[dict], runs: int = 1
) -> tuple[dict, tuple[str, str]]:
    """A record's first epochs against the history of the same run made again, as ``of_predictions`` gives it.

    The accuracy is that on PublicTest after the last of these epochs, whose rows' predictions no record has: a
    difference between two runs counts as if they were on different rows, which makes its interval wider, and goes
    before the seeds only where it is of ``ROWS_OFF`` rows at most. Collapsed is what scores as always predicting one
    emotion does, to within ``ROWS_OFF`` rows.
    """
    old, new = record["history"][:epochs], new[:epochs]
    unequal = unlike(old, new, "history")
    if len(new) < epochs:
        return {"unequal": unequal}, (DRIFTED, f"it stopped after {len(new)} epochs")
    arrays = records.predictions(record)
    labels = arrays["labels"][arrays["split"] == PUBLIC]
    frequencies = np.bincount(labels, minlength=len(records.emotions(record)))
    seeds = [other["history"][epochs - 1] for other in group if len(other["history"]) >= epochs]
    accuracies = [entry["PublicTest_accuracy"] for entry in (new[-1], old[-1], *seeds)]
    counts = [round(accuracy * len(labels)) for accuracy in accuracies]
    kinds = [_constant(count, frequencies, records.emotions(record)) for count in counts]
    now, then, *values = (100 * accuracy for accuracy in accuracies)
    apart = [100 * value for value in statistics.independent_difference(counts[0], len(labels), counts[1], len(labels))]
    judged = by_seeds(
        now,
        kinds[0],
        values,
        kinds[2:],
        apart if kinds[0] == kinds[1] else None,
        own=kinds[1],
        rows_first=abs(counts[0] - counts[1]) <= ROWS_OFF,
        runs=runs,
    )
    loss = max(abs(b["loss"] - a["loss"]) for a, b in zip(old, new))
    return {"rows": len(labels), "points": now - then, "loss": loss, "unequal": unequal}, judged


def _constant(count: int, frequencies: np.ndarray, emotions: Sequence[str]) -> str:
    """The emotion that scores so many rows if it is always predicted, nearly; "" if none does."""
    off = np.abs(frequencies - count)
    return emotions[int(off.argmin())] if off.min() <= ROWS_OFF else ""


def _alike(old: np.ndarray, new: np.ndarray | None) -> bool:
    """Whether two arrays are equal, bit by bit."""
    return new is not None and (old.dtype, old.shape, old.tobytes()) == (new.dtype, new.shape, new.tobytes())


def unlike(old: object, new: object, name: str = "") -> list[str]:
    """The figures of ``old``, a JSON document, that ``new`` lacks or has otherwise: "history 1 loss: 1.52, was 1.51".

    Times are left out, and so is what ``new`` alone has: code that learned to say more has not drifted.
    """
    if isinstance(old, dict):
        new = new if isinstance(new, dict) else {}
        pairs: Iterable = ((key, old[key], new.get(key)) for key in old if key not in TIMES)
    elif isinstance(old, list):
        new = new if isinstance(new, list) else []
        pairs = ((place, value, new[place - 1] if place <= len(new) else None) for place, value in enumerate(old, 1))
    else:
        both_nan = all(isinstance(value, float) and math.isnan(value) for value in (old, new))
        return [] if old == new or both_nan else [f"{name.strip()}: {new}, was {old}"]
    return [line for key, one, other in pairs for line in unlike(one, other, f"{name} {key}")]


# ---- judging


def by_seeds(
    value: float,
    kind: str,
    values: Sequence[float],
    kinds: Sequence[str],
    difference: Sequence[float] | None,
    *,
    own: str = "",
    rows_first: bool = True,
    runs: int = 1,
) -> tuple[str, str]:
    """Whether one new run could have an accuracy, by its record and the record's seeds: a verdict of ``RULE``, and why.

    value, values: accuracies in percent, of the new run and of each committed seed. kind, kinds, own: the emotion that
    each, and the record, collapsed to, "" if it learned. difference: (points, low, high) of the new run minus its
    record on the same rows; None where the two are of different kinds, or of different rows. rows_first: whether this
    difference may decide before the seeds do. runs: how many are judged in this call.
    """
    rows = ""
    if difference is not None:
        points, low, high = difference
        rows = f"from its record it differs by {points:+.2f} points [{low:.2f}, {high:.2f}] by the sampling of rows"
    near = difference is not None and low <= 0 <= high and max(-low, high) <= WIDTH
    if near and rows_first:
        return WITHIN, f"by its rows it is the record's: {rows}, which includes 0"
    n, alike = len(values), [other for other, its in zip(values, kinds, strict=True) if its == kind]
    does = f"collapses to {kind}" if kind else "learns"
    if not alike:
        because = f"it {does}, and none of {n} committed seeds did"
        if n >= RARE * runs:
            return DRIFTED, because
        among = f", with {runs} runs judged at once" * (runs > 1)
        return UNDECIDED, f"{because}, which are too few: one run of {n + 1} is no rarity{among}"
    share = f"{len(alike)} of {n} committed seeds {'collapse so' if kind else 'learn'}"
    rarer = kind != own and 2 * len(alike) < n
    unlike_record = f"it {does}, which its record did not; {share}; make more seeds of it"
    if kind:
        return (UNDECIDED, unlike_record) if rarer else (WITHIN, f"it {does}; {share}")
    if len(alike) >= SEEDS:
        mean, low, high = statistics.prediction_interval(alike, level=1 - (1 - statistics.LEVEL) / runs)
        interval = f"a new run's interval by {len(alike)} committed seeds, {low:.2f} to {high:.2f} %"
        if not low <= value <= high:
            return DRIFTED, f"its {value:.2f} % are outside {interval}"
        if high - mean > WIDTH:
            return UNDECIDED, f"its {value:.2f} % are inside {interval}, but that is too wide to tell"
        if rarer:
            return UNDECIDED, unlike_record
        return WITHIN, f"its {value:.2f} % are inside {interval}"
    few = f"not decidable by seeds ({len(alike)} of its kind)"
    if difference is None:
        return UNDECIDED, f"{few}, and its record is of another kind, or of other rows"
    if near:
        return WITHIN, f"{few}; {rows}, which includes 0"
    if low > WIDTH or high < -WIDTH:
        return DRIFTED, f"{few}; {rows}, all beyond {WIDTH:g} points"
    if low <= 0 <= high:
        return UNDECIDED, f"{few}; {rows}, which includes 0 but is too wide to tell"
    return UNDECIDED, f"{few}; {rows}: more than rows, less than {WIDTH:g} points"


def verdict_on(
    difference: dict, judged: tuple[str, str], differs: list[str], hints: Sequence[str] = ()
) -> tuple[str, str]:
    """The verdict by ``RULE``, and why.

    ``judged``: what ``by_seeds`` says. ``differs``: what is not the record's here, or not known to be; [] for an
    equality that is demanded. ``hints``: where to look for the cause of a drift, half sentences.
    """
    unequal = difference["unequal"]
    if not unequal:
        return SAME, f"Every figure is equal{'. Here: ' * bool(differs)}{', '.join(differs)}."
    because = f"Unequal: {'; '.join(unequal[:3])}{f' and {len(unequal) - 3} more' if len(unequal) > 3 else ''}. "
    verdict, why = judged
    known = f" Where to look: {'; '.join(hints)}." if hints else ""
    if differs:
        return verdict, f"{because}Here: {', '.join(differs)}; {why}.{known * (verdict == DRIFTED)}"
    here = f"Device and versions are the record's, so this is drift. Elsewhere it would be {verdict}: {why}."
    return DRIFTED, f"{because}{here}{known}"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a table for a terminal."""
    return table(
        [
            {
                "Run": outcome.run,
                "Compared": outcome.compared,
                "Rule": outcome.rule,
                "Differs here": ", ".join(outcome.differs) or "nothing",
                "Difference": _in_words(outcome.difference),
                "Verdict": outcome.verdict,
            }
            for outcome in outcomes
        ],
        padded=True,
    )


def _in_words(difference: dict) -> str:
    if not difference:
        return "not made"
    if not difference["unequal"]:
        return "none"
    words = []
    if "changed" in difference:
        words.append(f"{difference['changed']:,} of {difference['rows']:,} rows changed class")
        words.append(f"probabilities by up to {difference['probability']:.4f}")
    if "loss" in difference:
        words.append(f"loss by up to {difference['loss']:.3g}")
    if "points" in difference:
        words.append(f"accuracy {difference['points']:+.2f} points")
    return ", ".join(words) or difference["unequal"][0]

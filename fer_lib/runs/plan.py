"""Which runs a profile asks for, what is there of them, and how long the others take."""

import json
import re
from dataclasses import replace
from pathlib import Path

from .. import data, paths, system
from ..data import afew, affectnet, ckplus, ferplus, gaf, sfew
from ..evaluation import provenance, records
from ..files import documents, refused
from ..models import weights
from ..paths import kind
from . import Run, check_profile, dataset, epochs_done, experiments, failure, from_experiment, nearest

RECORD = 0.5e6
"""Bytes of a run's record, at most."""
WEIGHTS = {
    "feedforward": 1.4e6, "simple_cnn": 4e6, "proposed_cnn": 22.4e6, "wide_cnn": 22.4e6, "eleven_layers": 3.3e6,
    "vgg13": 8.8e6, "small_vgg": 0.4e6, "vgg": 4.7e6, "resnet18": 11.2e6, "googlenet": 5.6e6, "caffenet": 57e6,
    "vgg16": 134e6, "resnet152": 58e6, "vgg_face": 134e6, "mollahosseini": 7.8e6, "alexnet": 23.3e6,
    "yu_zhang": 6.1e6, "tang": 3.2e6, "bkvgg12": 3.5e6, "kahou": 1.4e6, "tandem": 0.8e6,
}  # fmt: skip
"""How many weights a network has, by its builder, as the papers have it: what its checkpoints need on the disk."""
MODULES = {"AffectNet": affectnet, "FER+": ferplus, "CK+": ckplus, "SFEW": sfew, "AFEW": afew, "GAF": gaf}
"""The module of each of ``data.SUPPLIED``, with ``find`` and ``HOW``."""
START = 20 / 3600
"""Hours until a kernel and its engine stand and the data are there."""

LONGER, LEAST_LIMIT = 10.0, 2.0
"""How many times as long as expected a run may take, and hours that each may: a slow machine, shared by many, is no
error, and what hangs is ended all the same."""


def chosen(known: dict[str, dict], only: str = "") -> list[str]:
    """Names of the experiments that ``only`` asks for: comma-separated parts of names, "" for all.

    A whole name means just itself. Raises ValueError where a part fits no experiment, or there is none in it.
    """
    names, parts = set() if only else set(known), list(filter(None, map(str.strip, only.split(","))))
    if only and not parts:
        raise ValueError(f"ONLY: found {only!r}, expected parts of experiments' names; correct it, or leave it out")
    for part in parts:
        whole = {name for name in known if part in (name, name.split("/")[1])}
        fitting = whole or {name for name in known if part in name}
        if not fitting:
            then = "correct it: the files in experiments/ have the names"
            expected = f"{nearest(part, known)}, or a part of it"
            raise ValueError(f"ONLY: no experiment's name contains {part!r}, {expected}; {then}")
        names |= fitting
    names = {known[name].get("milestone_of", name) for name in names}
    return [name for name in known if name in names]


def _asked_for(known: dict[str, dict], profile: str, only: str, gpu: bool | None = None) -> list[str]:
    """Names of the experiments that a profile makes, of those that ``only`` asks for (see ``wanted``)."""
    names = chosen(known, only)
    if only:
        return names
    if profile in ("smoke", "quick") or not _has_gpu(gpu):
        names = [name for name in names if not known[name].get("heavy")]
    if profile == "quick":
        names = [name for name in names if not name.startswith(("related/", "ours/"))]
    if profile == "smoke":
        kinds = {}
        for name in names:
            of = known[name]["notebook"], known[name]["parameters"].get("model"), known[name]["parameters"]["data"]
            if not name.startswith("ours/") or of[0] not in [kind[0] for kind in kinds]:
                kinds.setdefault(of, name)
        names = list(kinds.values())
    return names


def _has_gpu(gpu: bool | None) -> bool:
    """Whether the runs' machine has a GPU; None: they are made here."""
    return system.has_gpu() if gpu is None else gpu


def left_to_name(profile: str, only: str = "") -> list[str]:
    """The heavy experiments that a profile of real data makes here only where they are named (see ``wanted``)."""
    known = experiments()
    if only or profile == "smoke":
        return []
    made = _asked_for(known, profile, only)
    return [name for name in known if known[name].get("heavy") and name not in made]


def not_here(profile: str, only: str = "", gpu: bool | None = None) -> dict[str, str]:
    """The experiments that are asked for and no run is planned of, each with what is not here and how to get it."""
    return _lacking(experiments(), profile, only, gpu)


def _lacking(known: dict[str, dict], profile: str, only: str, gpu: bool | None = None) -> dict[str, str]:
    """``not_here``, where the experiments are at hand."""
    asked = [] if profile == "smoke" else _asked_for(known, profile, only, gpu)
    return {name: lacks for name in asked if (lacks := _lacks(known[name]["parameters"]))}


def _lacks(parameters: dict) -> str:
    """What an experiment needs beyond FER2013 and is not here, in words, with what to do; "" for nothing."""
    faces, model = parameters.get("data", ""), parameters.get("model", "")
    name, _ = data.SUPPLIED.get(faces, ("", ""))
    try:
        if name and not MODULES[name].find():
            return f"{name} is not here: {MODULES[name].HOW}"
    except FileNotFoundError as error:  # a path that leads nowhere keeps its own experiments out, no others
        return str(error)
    if parameters.get("weights") and not weights.find(model):
        return f"pretrained weights are not here: {weights.instructions(model)}"
    return ""


def by_reason(lacking: dict[str, str]) -> list[str]:
    """A sentence for each reason of ``not_here``, with the experiments that it keeps out."""
    reasons = dict.fromkeys(lacking.values())
    return [f"{', '.join(name for name in lacking if lacking[name] == why)}: {why}" for why in reasons]


def wanted(
    profile: str, seeds: int | None = None, only: str = "", backend: str = "", gpu: bool | None = None
) -> list[Run]:
    """The runs of a profile. ``seeds``: of each; where it is not given 1 for smoke and quick, else what the experiment
    says (``seeds``), else 5 with a GPU, and without one what it says of that (``seeds_cpu``), or 3.

    Where none is asked for by name, quick makes the rows of the papers' tables, and smoke the first of them of each
    kind (notebook, network and data set), with one of ours for each notebook that the papers' have not. Experiments
    that call themselves ``heavy`` are a GPU's work: at smoke, at quick and without a GPU they are made by name only.
    For another machine than this one, ``backend`` and ``gpu`` say what it computes with, and whether it has a GPU.

    Experiments are left out whose data or pretrained weights are not here (``not_here``); raises FileNotFoundError
    where nothing else was asked for.
    """
    if seeds is not None and seeds < 1:
        raise ValueError(f"SEEDS: found {seeds}, expected 1 or more; without it each experiment has as many as it says")
    known = experiments()
    lacking = _lacking(known, profile, only, gpu)
    names = [name for name in _asked_for(known, profile, only, gpu) if name not in lacking]
    if lacking and not names:
        raise FileNotFoundError("; ".join(by_reason(lacking)))

    def count(experiment: dict) -> int:
        if seeds or profile in ("smoke", "quick"):
            return seeds or 1
        return experiment.get("seeds") or (5 if _has_gpu(gpu) else experiment.get("seeds_cpu", 3))

    first = (from_experiment(name, known[name], 0, profile, backend) for name in names)
    return [
        replace(run, seed=seed, parameters=run.parameters | {"seed": seed})
        for run in first
        for seed in range(count(run.experiment))
    ]


def to_list(profile: str, runs: list[Run]) -> str:
    """Runs of a profile as text for ``from_list``, which may read it where there are no records."""
    return json.dumps({"profile": profile, "runs": [run.place for run in runs]}, indent=1) + "\n"


def from_list(path: Path) -> tuple[str, list[Run]]:
    """The profile and the runs of a list that ``to_list`` made.

    Raises FileNotFoundError where there is no such file, ValueError naming it where it is no such list, or asks for
    runs that this checkout, with this environment's KERAS_BACKEND and PRECISION, would not make.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found {kind(path)}, expected a list of runs; correct the path")
    then, keys = "make the kit again", {"profile": str, "runs": list}
    content = documents.check_keys(documents.read_json(path, then=then), path, keys, tuple(keys), then)
    known, found = experiments(), []
    try:
        check_profile(content["profile"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for place in content["runs"]:
        match = re.fullmatch(r"(.+)/[a-z]+(?:-\w+)?-seed(\d{1,9})", str(place))
        if not match or match[1] not in known or "milestone_of" in known[match[1]]:
            raise refused(path, f"{place!r:.120}", "runs of the experiments that are here", then)
        run = from_experiment(match[1], known[match[1]], int(match[2]), content["profile"])
        if run.place != place:
            expected = f"{run.place}, which this environment makes"
            raise refused(path, place, expected, "set KERAS_BACKEND and PRECISION as they were when the list was made")
        found.append(run)
    return content["profile"], found


def are_current(runs: list[Run]) -> list[bool]:
    """Of each run, whether its record is there, whole, and of today's parameters and data."""
    made = [(run.folder / "metrics.json").exists() for run in runs]  # no data is loaded for what is not there
    hashes = {name: dataset(name).sha256 for name in {run.parameters["data"] for run, has in zip(runs, made) if has}}
    return [
        has
        and records.is_current(run.folder, run.parameters, hashes[run.parameters["data"]], run.experiment["defaults"])
        for run, has in zip(runs, made)
    ]


def missing(runs: list[Run], force: bool = False) -> list[Run]:
    """Those of these runs that have no current record (all of them with ``force``)."""
    return [run for run, current in zip(runs, are_current(runs)) if force or not current]


def states(runs: list[Run]) -> list[str]:
    """One line for each run: under way, current, stale, failed or missing, its name, and what there is to say."""
    lines = []
    for run, current in zip(runs, are_current(runs)):
        stale = provenance.stale(records.read(run.folder)) if current else []
        failed, epochs = failure(run), epochs_done(run)
        state = "stale" if stale else "current" if current else "failed" if failed else "missing"
        if system.is_locked(run.lock):
            state = "under way"
        remarks = [*stale, failed]
        if not current and (run.folder / "metrics.json").exists():
            remarks.append("the record there is of other parameters or other data")
        if epochs:
            networks = f" in each of {folds} folds" if (folds := run.parameters.get("folds")) else ""
            remarks.append(f"checkpoint after epoch {epochs} of {run.parameters['epochs']}{networks}")
        lines.append(f"{state:<9}  {run}  {'; '.join(filter(None, remarks))}".rstrip())
    return lines


def failures(runs: list[Run]) -> list[str]:
    """A sentence for each of these runs that failed when it was last tried."""
    return [f"{run}: {error}" for run in runs if (error := failure(run))]


def hours(run: Run, gpu: bool | None = None) -> float:
    """About how long a run takes from its last checkpoint on: at full what its YAML file expects, and START.

    gpu: whether with a GPU; None: as it is here.
    """
    if run.profile == "smoke":
        return START
    expect = run.experiment["expect"]
    whole = float(expect["hours_gpu" if _has_gpu(gpu) else "hours_cpu"])
    if run.profile == "quick":
        full = from_experiment(run.name, run.experiment, run.seed, "full", run.backend)
        whole = float(expect.get("hours_quick", whole * _work(run) / _work(full)))
    networks = run.parameters.get("folds") or 1
    return START + whole * max(0.0, 1 - epochs_done(run) / (networks * run.parameters.get("epochs", 1)))


def finish_records(profile: str) -> None:
    """Finish the records of a profile that were being put in place when their run was killed; says which cannot be."""
    top = paths.results_folder(profile)
    for whole in top.glob(f"runs/*/*/*/{records.WHOLE}"):
        lock = top / "unfinished" / f"{whole.parent.relative_to(top / 'runs')}.lock"
        try:
            with system.locked(lock, "a run", patience=0):
                records.put_to_the_end(whole.parent)
        except RuntimeError:  # its run does it just now
            continue
        except OSError as error:
            print(f"{whole}: a whole record, which cannot be put in its place: {error}", flush=True)


def limit(run: Run) -> float:
    """After how many hours a run that is still under way is ended: ``limit_hours`` of its experiment (``expect``), else
    ``LONGER`` times as long as it takes from its last checkpoint on, and ``LEAST_LIMIT`` at least. Of a CPU and a GPU
    the slower counts: an engine may not use the GPU that is there."""
    longest = max(hours(run, gpu) for gpu in (False, True))
    return float(run.experiment["expect"].get("limit_hours", max(LEAST_LIMIT, LONGER * longest)))


def disk(runs: list[Run]) -> tuple[float, float]:
    """About how many bytes these runs need: for their records, and for the checkpoints of the largest while it runs.

    Two checkpoints are there for a moment; each has 4 bytes of a weight, and as much for each of the optimiser's two.
    """
    checkpoints = [2 * 3 * 4 * WEIGHTS.get(run.parameters.get("model"), 0) for run in runs]
    return RECORD * len(runs), max(checkpoints, default=0.0)


def _work(run: Run) -> int:
    """What a training computes, in forward passes of one face; a backward pass costs twice as much."""
    parameters = run.parameters
    rows = 3 * (parameters.get("rows") or 28_709) + (parameters.get("test_rows") or 7_178)
    return parameters.get("epochs", 1) * rows

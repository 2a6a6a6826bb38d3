"""The runs of the study: which there are, what is there of each, and how one is made."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from . import datasets, notebooks, paths, processes, provenance, records, weights
from .datasets import affectnet, fer2013, ferplus
from .paths import PROFILES
from .protocol import CHOICES, PROTOCOLS

CUTS = {
    "smoke": {
        "data": "drawn_faces", "rows": 128, "epochs": 2, "steps": 5, "repeats": 1, "asked": 100, "count": 21,
        "weights": "",  # nothing has to be fetched for it
    },
    "quick": {"rows": 2871},
    "full": {},
    "copy": {},
}  # fmt: skip
"""What a profile puts over an experiment's parameters, where its notebook has them."""
STAND_INS = {name: f"drawn_{name}" for name in ("affectnet", "affectnet_official", *ferplus.DATA)}
"""Data in whose place smoke puts other drawn faces than ``CUTS`` says."""
START = 20 / 3600
"""Hours until a kernel and its engine stand and the data are there."""
NOT_IDENTITY = ("experiment", "title", "profile", "record")
"""Notebook parameters that say where a run goes, not what it does."""


@dataclass(frozen=True)
class Run:
    """One run: an experiment with a seed, at a profile, on a backend. That is its identity, and gives one record."""

    name: str  # of the experiment: "saravanan2019/table1_feedforward"
    seed: int
    profile: str
    experiment: dict  # as ``experiments`` gives it
    parameters: dict  # of the notebook: complete, checked, the profile's cuts made
    backend: str

    def __str__(self) -> str:
        return f"{self.name} seed {self.seed}"

    @property
    def place(self) -> str:
        """Its folder below ``runs/`` or ``unfinished/``: "saravanan2019/table1_feedforward/tensorflow-seed0"."""
        precision = self.parameters.get("precision", "float32")
        return f"{self.name}/{records.label(self.backend, precision)}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its record lies when it is done."""
        return paths.results_folder(self.profile) / "runs" / self.place

    @property
    def unfinished(self) -> Path:
        """Where it is made: checkpoints, log, failure. Git ignores it, and it goes when the record is in place."""
        return paths.results_folder(self.profile) / "unfinished" / self.place

    @property
    def lock(self) -> Path:
        return self.unfinished.with_name(f"{self.unfinished.name}.lock")


def experiments() -> dict[str, dict]:
    """All experiments by name ("saravanan2019/table1_feedforward"), in the order of the papers' tables, ours last.

    Each is its YAML file, with ``parameters`` completed by the fields of its named protocol, and ``defaults``, its
    notebook's parameters. One with ``milestone_of`` has no run of its own: it is read off the runs of the experiment
    named there. Raises ValueError naming the file where one lacks a key.
    """
    found = {}
    for path in sorted(paths.EXPERIMENTS.glob("*/*.yaml")):
        content = yaml.safe_load(path.read_text())
        keys = ["title", "where", "reported"]
        keys += [] if "milestone_of" in content else ["notebook", "parameters", "expect"]
        missing = [key for key in keys if key not in content]
        if missing:
            file = f"experiments/{path.relative_to(paths.EXPERIMENTS)}"
            raise ValueError(f"{file}: lacks {', '.join(missing)}; see the README on experiments")
        fields = PROTOCOLS[content["protocol"]] if "protocol" in content else {}
        content["parameters"] = {**fields, **content.get("parameters", {})}
        content["defaults"] = notebooks.defaults(content["notebook"]) if "notebook" in content else {}
        found[f"{path.parent.name}/{path.stem}"] = content
    order = {name: (name.startswith("ours/"), name.split("/")[0], found[name].get("order", 99), name) for name in found}
    return {name: found[name] for name in sorted(found, key=order.get)}


def run(name: str, seed: int, profile: str, backend: str = "", precision: str = "") -> Run:
    """A run by its identity. Backend and precision are the experiment's own, else the ones given, else those of the
    environment (``KERAS_BACKEND``, ``PRECISION``), else tensorflow and the notebook's default, float32.

    Raises ValueError for an unknown experiment; ValueError or TypeError where its notebook does not take a parameter.
    """
    known = experiments()
    if name not in known:
        raise ValueError(f"no experiment is called {name!r}; expected one of {', '.join(known)}")
    if other := known[name].get("milestone_of"):
        raise ValueError(f"{name} has no run of its own, it is read off those of {other}; run that")
    return _run(name, known[name], seed, profile, backend, precision)


def _run(name: str, experiment: dict, seed: int, profile: str, backend: str = "", precision: str = "") -> Run:
    precision = precision or os.environ.get("PRECISION", "")
    if precision not in ("", *CHOICES["precision"]):
        raise ValueError(f"PRECISION: found {precision!r}, expected one of {', '.join(CHOICES['precision'])}")
    asked = {"precision": precision} if precision and "precision" in experiment["defaults"] else {}
    cut = {parameter: value for parameter, value in CUTS[profile].items() if parameter in experiment["defaults"]}
    if "data" in cut:
        cut["data"] = STAND_INS.get(experiment["parameters"].get("data"), cut["data"])
    cut |= experiment.get(profile, {}) if profile in ("smoke", "quick") else {}
    values = notebooks.checked(experiment["notebook"], asked | experiment["parameters"] | cut | {"seed": seed})
    values = {parameter: value for parameter, value in values.items() if parameter not in NOT_IDENTITY}
    backend = experiment.get("backend") or backend or os.environ.get("KERAS_BACKEND", "tensorflow")
    return Run(name, seed, profile, experiment, values, backend)


def check_data(profile: str) -> None:
    """Raise where the profile cannot run on what is here: FileNotFoundError without FER2013, ValueError for full on
    other data than the official, whose records would take the place of those that are committed."""
    if profile not in PROFILES:
        raise ValueError(f"PROFILE: found {profile!r}, expected one of {', '.join(PROFILES)}")
    if profile != "smoke" and not fer2013.find():
        raise FileNotFoundError(f"PROFILE={profile} needs FER2013: give FER2013=PATH or put fer2013.csv into data/")
    if profile == "full" and not (source := datasets.load("fer2013").source)["official"]:
        raise ValueError(
            f"PROFILE=full is for the official FER2013: found {source['file']} ({source['form']}), which differs; "
            "PROFILE=copy makes the same runs of it, kept apart"
        )


def chosen(only: str = "") -> list[str]:
    """Names of the experiments that ``only`` asks for: comma-separated parts of names, "" for all.

    A whole name means just itself. Raises ValueError where a part fits no experiment.
    """
    known = experiments()
    names = set() if only else set(known)
    for part in filter(None, only.split(",")):
        whole = {name for name in known if part in (name, name.split("/")[1])}
        fitting = whole or {name for name in known if part in name}
        if not fitting:
            raise ValueError(f"ONLY: no experiment's name contains {part!r}; there are {', '.join(known)}")
        names |= fitting
    names = {known[name].get("milestone_of", name) for name in names}
    return [name for name in known if name in names]


def asked_for(profile: str, only: str = "") -> list[str]:
    """Names of the experiments that a profile makes, of those that ``only`` asks for (see ``wanted``)."""
    known, names = experiments(), chosen(only)
    if only:
        return names
    if profile in ("smoke", "quick") or not processes.has_gpu():
        names = [name for name in names if not known[name].get("heavy")]
    if profile == "quick":
        names = [name for name in names if not name.startswith("ours/")]
    if profile == "smoke":
        kinds = {}
        for name in names:
            of = known[name]["notebook"], known[name]["parameters"].get("model"), known[name]["parameters"]["data"]
            if not name.startswith("ours/") or of[0] not in [kind[0] for kind in kinds]:
                kinds.setdefault(of, name)
        names = list(kinds.values())
    return names


def not_here(profile: str, only: str = "") -> dict[str, str]:
    """The experiments that are asked for and no run is planned of, each with what is not here and how to get it."""
    known, asked = experiments(), asked_for(profile, only)
    return {} if profile == "smoke" else {name: lacks for name in asked if (lacks := _lacks(known[name]["parameters"]))}


def _lacks(parameters: dict) -> str:
    """What an experiment needs beyond FER2013 and is not here, in words, with what to do; "" for nothing."""
    data, model = parameters.get("data", ""), parameters.get("model", "")
    if data.startswith("affectnet") and not affectnet.find():
        return f"AffectNet is not here: {affectnet.HOW}"
    if data in ferplus.DATA and not ferplus.find():
        return f"FER+ is not here: {ferplus.HOW}"
    if parameters.get("weights") and not weights.find(model):
        return f"pretrained weights are not here: {weights.how(model)}"
    return ""


def wanted(profile: str, seeds: int | None = None, only: str = "") -> list[Run]:
    """The runs of a profile. ``seeds``: of each; where it is not given 1 for smoke and quick, else what the experiment
    says (``seeds``), else 5 with a GPU, and without one what it says of that (``seeds_cpu``), or 3.

    Where none is asked for by name, quick makes the rows of the papers' tables, and smoke the first of them of each
    kind (notebook, network and data set), with one of ours for each notebook that the papers' have not. Experiments
    that call themselves ``heavy`` are a GPU's work: at smoke, at quick and without a GPU they are made by name only.

    Experiments are left out whose data or pretrained weights are not here (``not_here``); raises FileNotFoundError
    where nothing else was asked for.
    """
    known, lacking = experiments(), not_here(profile, only)
    names = [name for name in asked_for(profile, only) if name not in lacking]
    if lacking and not names:
        raise FileNotFoundError("; ".join(by_reason(lacking)))
    has_gpu = processes.has_gpu()

    def count(experiment: dict) -> int:
        if seeds or profile in ("smoke", "quick"):
            return seeds or 1
        return experiment.get("seeds") or (5 if has_gpu else experiment.get("seeds_cpu", 3))

    return [_run(name, known[name], seed, profile) for name in names for seed in range(count(known[name]))]


def by_reason(lacking: dict[str, str]) -> list[str]:
    """A sentence for each reason of ``not_here``, with the experiments that it keeps out."""
    reasons = dict.fromkeys(lacking.values())
    return [f"{', '.join(name for name in lacking if lacking[name] == why)}: {why}" for why in reasons]


def missing(profile: str, seeds: int | None = None, only: str = "", force: bool = False) -> list[Run]:
    """The wanted runs that have no current record (all of them with ``force``)."""
    found = wanted(profile, seeds, only)
    return [run for run, current in zip(found, are_current(found)) if force or not current]


def are_current(found: list[Run]) -> list[bool]:
    """Of each run, whether its record is there, whole, and of today's parameters and data."""
    hashes = {name: datasets.load(name).sha256 for name in {run.parameters["data"] for run in found}}
    return [
        records.is_current(run.folder, run.parameters, hashes[run.parameters["data"]], run.experiment["defaults"])
        for run in found
    ]


def states(found: list[Run]) -> list[str]:
    """One line for each run: under way, current, stale, failed or missing, its name, and what there is to say."""
    lines = []
    for run, current in zip(found, are_current(found)):
        stale = provenance.stale(records.read(run.folder)) if current else []
        failed, epochs = _failure(run), epochs_done(run)
        state = "current" if current else "failed" if failed else "missing"
        said = [*stale, failed]
        if not current and (run.folder / "metrics.json").exists():
            said.append("the record there is of other parameters or other data")
        if epochs:
            said.append(f"checkpoint after epoch {epochs} of {run.parameters['epochs']}")
        state = "under way" if processes.is_locked(run.lock) else "stale" if stale else state
        lines.append(f"{state:<9}  {run}  {'; '.join(filter(None, said))}".rstrip())
    return lines


def epochs_done(run: Run) -> int:
    """After how many epochs an unfinished run would go on."""
    kept = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in run.unfinished.glob("checkpoint-*")]
    return max((int(match[1]) for match in kept if match), default=0)


def failures(found: list[Run]) -> list[str]:
    """A sentence for each of these runs that failed when it was last tried."""
    return [f"{run}: {said}" for run in found if (said := _failure(run))]


def _failure(run: Run) -> str:
    try:
        error = json.loads((run.unfinished / "failure.json").read_text())
    except (OSError, ValueError):
        return ""
    return (f"cell {error['cell']}: " if error["cell"] else "") + error["error"]


def hours(run: Run) -> float:
    """About how long a run takes here from its last checkpoint on: at full what its YAML file expects, and START."""
    if run.profile == "smoke":
        return START
    expect = run.experiment["expect"]
    whole = float(expect["hours_gpu" if processes.has_gpu() else "hours_cpu"])
    if run.profile == "quick":
        full = _run(run.name, run.experiment, run.seed, "full", run.backend)
        whole = float(expect.get("hours_quick", whole * _work(run) / _work(full)))
    return START + whole * max(0.0, 1 - epochs_done(run) / run.parameters.get("epochs", 1))


def _work(run: Run) -> int:
    """What a training computes, in forward passes of one face; a backward pass costs twice as much."""
    parameters = run.parameters
    rows = 3 * (parameters.get("rows") or 28_709) + (parameters.get("test_rows") or 7_178)
    return parameters.get("epochs", 1) * rows


def command(run: Run) -> list[str]:
    """The command that makes a run in a process of its own."""
    return [sys.executable, "-m", "fer_lib", "run", run.name, "--seed", str(run.seed), "--profile", run.profile]


def execute(name: str, seed: int, profile: str) -> Path:
    """Make one run: execute its notebook, which writes the record. Returns the record's folder.

    All is made in ``Run.unfinished``: what was killed there is taken up from its last checkpoint, and the record and
    ``run.ipynb``, the executed notebook, are put in place when they are whole. If the run fails, ``failure.json`` stays
    there and tells the failing cell and its error, an older record stays as it was, and RuntimeError is raised.
    """
    check_data(profile)
    this = run(name, seed, profile)
    making = this.unfinished
    where = {"experiment": name, "title": this.experiment["title"], "profile": profile, "record": str(making)}
    with processes.locked(this.lock, f"run {this}") as lock:
        for left in making.glob("*"):  # by a run that was killed or failed
            if not left.match("checkpoint-*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        notebook = this.experiment["notebook"]
        error = notebooks.execute(notebook, making / "run.ipynb", this.parameters | where, f"{this}: ", lock)
        if error:
            (making / "failure.json").write_text(json.dumps(error, indent=1) + "\n")
            raise RuntimeError(f"{this} failed: {_failure(this)}")
        records.put(making, this.folder)
        shutil.rmtree(making)
    return this.folder


def discard_unfinished(run: Run) -> None:
    """Remove what is left of making a run, unless it is under way."""
    if run.unfinished.exists() and not processes.is_locked(run.lock):
        shutil.rmtree(run.unfinished)

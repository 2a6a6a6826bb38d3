"""The runs of the study: what each is, where its record lies, and how one is made."""

import json
import math
import os
import re
import shutil
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from .. import data, files, paths, system
from ..data import fer2013
from ..evaluation import records
from ..files import documents, refused, writing
from ..models import ARCHITECTURES
from ..paths import PROFILES
from ..training.protocol import CHOICES, PROTOCOLS, Protocol
from . import notebooks

CUTS = {
    "smoke": {
        "data": "drawn_faces", "rows": 128, "epochs": 2, "steps": 5, "repeats": 1, "asked": 100, "count": 21, "some": 3,
        "still": "drawn_faces", "still_epochs": 2, "weights": "",  # nothing has to be fetched for it
    },
    "quick": {"rows": 2871},
    "full": {},
    "copy": {},
}  # fmt: skip
"""What a profile puts over an experiment's parameters, where its notebook has them."""
STAND_INS = {name: f"drawn_{name}" for name in data.SUPPLIED}
"""Data in whose place smoke puts other drawn faces than ``CUTS`` says."""

KEYS = {
    "title": str, "where": str, "reported": dict, "notebook": str, "protocol": str, "parameters": dict, "expect": dict,
    "deviations": list, "order": int, "smoke": dict, "quick": dict, "seeds": int, "seeds_cpu": int, "heavy": bool,
    "value": int, "diagnostic": bool, "backend": str, "milestone_of": str, "compared_with": str,
}  # fmt: skip
"""What an experiment's file may have, by type."""
REPORTED = {"accuracy": float, "rows": str}
EXPECT = {
    "accuracy": float, "hours_cpu": float, "hours_gpu": float, "hours_quick": float, "limit_hours": float,
    "memory_gb": float, "device": str,
}  # fmt: skip
"""What ``reported`` and ``expect`` may have."""
HOW = "see docs/extending.md"
LEAST = {
    "min_samples_split": 2, "max_depth": 0, "min_samples_leaf": 1, "max_features": 1e-9, "repeats": 1, "steps": 1,
    "asked": 0, "count": 0, "some": 0,
}  # fmt: skip
"""The lowest allowed value of the parameters that are no fields of ``Protocol``, which checks its own."""
CRITERIA = ("gini", "entropy", "log_loss")
"""What scikit-learn's tree may lower."""


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
    """All experiments by name ("saravanan2019/table1_feedforward"), in the order of the papers' tables, related
    work and ours last.

    Each is its YAML file, with ``parameters`` completed by the fields of its named protocol, and ``defaults``, its
    notebook's parameters. One with ``milestone_of`` has no run of its own: it is read off the runs of the experiment
    named there. Raises ValueError naming the file that is no YAML, lacks a key, or has an unknown one or a wrong
    value, also of a parameter, at any profile.
    """
    known = {}
    for path in files.visible(paths.EXPERIMENTS, "*/*.yaml"):
        content = _read(path)
        named = PROTOCOLS[content["protocol"]] if "protocol" in content else {}
        content["parameters"] = {**named, **content.get("parameters", {})}
        content["defaults"] = notebooks.defaults(content["notebook"]) if "notebook" in content else {}
        name = f"{path.parent.name}/{path.stem}"
        profiles = [each for each in ("full", "quick", "smoke") if each == "full" or each in content]
        for profile in profiles if "notebook" in content else []:
            _values(name, content, profile, content["parameters"])
        known[name] = content

    def order(name: str) -> tuple:
        study = name.split("/")[0]
        return {"related": 1, "ours": 2}.get(study, 0), study, known[name].get("order", 99), name

    for name, content in known.items():
        of = content.get("milestone_of")
        if of is not None and "milestone_of" in known.get(of, {"milestone_of": ""}):
            expected = "the name of an experiment with runs of its own"
            raise refused(f"experiments/{name}.yaml, milestone_of", repr(of), expected, HOW)
        if (other := content.get("compared_with", name)) not in known:
            raise refused(f"experiments/{name}.yaml, compared_with", repr(other), "an experiment's name", HOW)
    return {name: known[name] for name in sorted(known, key=order)}


def _read(path: Path) -> dict:
    """An experiment's file, checked."""
    file = f"experiments/{path.relative_to(paths.EXPERIMENTS)}"
    if unusual := re.sub(r"[\w.-]", "", f"{path.parent.name}{path.stem}"):
        expected = "letters, digits, _, - and . only"
        raise refused(file, f"{unusual[0]!r} in its name or its folder's", expected, "rename it")
    content = documents.read_yaml(path, file)
    has_runs = not isinstance(content, dict) or "milestone_of" not in content
    required = ("title", "where", "reported", *(("notebook", "parameters", "expect") if has_runs else ()))
    documents.check_keys(content, file, KEYS, required, HOW)
    documents.check_keys(content["reported"], f"{file}, reported", REPORTED, (), HOW)
    documents.check_keys(content.get("expect", {}), f"{file}, expect", EXPECT, (), HOW)
    for key, value in [*content["reported"].items(), *content.get("expect", {}).items()]:
        if isinstance(value, float | int) and value < 0:
            raise refused(f"{file}, {key}", str(value), "0 or more", HOW)
    limit = content.get("expect", {}).get("limit_hours", 1)
    if limit == 0 or not math.isfinite(limit):
        raise refused(f"{file}, limit_hours", str(limit), "a number of hours, more than 0", HOW)
    if has_runs:
        documents.check_keys(content["expect"], f"{file}, expect", EXPECT, ("hours_cpu", "hours_gpu"), HOW)
    notebook_names = [path.stem for path in files.visible(paths.NOTEBOOKS, "*.ipynb")]
    for key, choices in {"protocol": PROTOCOLS, "notebook": notebook_names, "backend": (*ENGINES, *OTHERS)}.items():
        if key in content and content[key] not in choices:
            raise refused(f"{file}, {key}", repr(content[key]), f"one of {', '.join(choices)}", HOW)
    for key in ("seeds", "seeds_cpu"):
        if content.get(key, 1) < 1:
            raise refused(f"{file}, {key}", str(content[key]), "1 or more", HOW)
    if wrong := [each for each in content.get("deviations", []) if not isinstance(each, str)]:
        raise refused(f"{file}, deviations", f"{wrong[0]!r:.60}", "sentences, each in quotes", HOW)
    return content


def nearest(name: str, known: dict[str, dict]) -> str:
    """Which experiments' names are most like one that is not known, or where all names are: half a sentence."""
    ends, end = {each.split("/")[1]: each for each in known}, name.split("/")[-1]
    likely = end if end in ends else files.nearest(end, ends)
    likely = re.sub(r"\w+", lambda found: ends.get(found[0], found[0]), likely)
    return f"expected {likely or 'the name of a file in experiments/, without its ending'}"


def run(name: str, seed: int, profile: str, backend: str = "", precision: str = "") -> Run:
    """A run by its identity. Backend and precision are the experiment's own, else the ones given, else those of the
    environment (``KERAS_BACKEND``, ``PRECISION``), else tensorflow and the notebook's default, float32.

    Raises ValueError for an unknown experiment, and where its notebook does not take a parameter.
    """
    check_profile(profile)
    known = experiments()
    if name not in known:
        raise ValueError(f"no experiment is called {name!r}, {nearest(name, known)}")
    if other := known[name].get("milestone_of"):
        raise ValueError(f"{name} has no run of its own, it is read off those of {other}; run that")
    return from_experiment(name, known[name], seed, profile, backend, precision)


def from_experiment(
    name: str, experiment: dict, seed: int, profile: str, backend: str = "", precision: str = ""
) -> Run:
    """``run``, where the experiment (as ``experiments`` gives it) is at hand."""
    precision = precision or os.environ.get("PRECISION", "")
    if precision not in ("", *CHOICES["precision"]):
        raise ValueError(f"PRECISION: found {precision!r}, expected one of {', '.join(CHOICES['precision'])}")
    asked = {"precision": precision} if precision and "precision" in experiment["defaults"] else {}
    values = _values(name, experiment, profile, asked | experiment["parameters"]) | {"seed": seed}
    values = {parameter: value for parameter, value in values.items() if parameter not in notebooks.NOT_IDENTITY}
    engine = os.environ.get("KERAS_BACKEND", "tensorflow")
    if engine not in ENGINES:
        raise ValueError(f"KERAS_BACKEND: found {engine!r}, expected one of {', '.join(ENGINES)}; unset or correct it")
    backend = experiment.get("backend") or backend or engine
    return Run(name, seed, profile, experiment, values, backend)


def _values(name: str, experiment: dict, profile: str, parameters: dict) -> dict:
    """All of a notebook's parameters, with the profile's cuts. Raises ValueError naming the experiment's file and the
    parameter for one that is lacking, unknown, or of another type or value than it may have."""
    defaults = experiment["defaults"]
    place = f"experiments/{name}.yaml"
    if absent := [each for each in ("data", "seed", *notebooks.PLACE) if each not in defaults]:
        expected = "the name of a notebook that makes records"
        raise refused(f"{place}, notebook", f"{experiment['notebook']!r}, without {absent[0]}", expected, HOW)
    if given := [each for each in notebooks.NOT_IDENTITY if each in parameters]:
        expected = "only what a run does; where it goes and how it is computed is said when it is made"
        raise refused(f"{place}, parameters", given[0], expected, HOW)
    if "data" not in parameters:
        raise refused(f"{place}, parameters", "no data", f"one of {', '.join((*data.loaders(), *data.SCENES))}", HOW)
    cut = {parameter: value for parameter, value in CUTS[profile].items() if parameter in defaults}
    if "data" in cut:
        cut["data"] = STAND_INS.get(parameters["data"], cut["data"])
    cut |= experiment.get(profile, {}) if profile in ("smoke", "quick") else {}
    try:
        values = notebooks.checked(experiment["notebook"], parameters | cut)
        Protocol(**{item.name: values[item.name] for item in fields(Protocol) if item.name in values})
    except (TypeError, ValueError) as error:
        then = "" if "; " in str(error) else f"; {HOW}"
        raise ValueError(f"{place}: {error}{then}") from error
    known = {
        "data": (*data.loaders(), *data.SCENES),
        "still": data.loaders(),
        "model": ARCHITECTURES,
        "split": data.SPLITS,
        "criterion": CRITERIA,
    }
    for parameter in known:
        if parameter in values and values[parameter] not in known[parameter]:
            found, expected = f"{values[parameter]!r:.60}", f"one of {', '.join(known[parameter])}"
            raise refused(f"{place}, {parameter}", found, expected, HOW)
    for parameter in LEAST:
        if parameter in values and values[parameter] < LEAST[parameter]:
            raise refused(f"{place}, {parameter}", f"{values[parameter]}", f"{LEAST[parameter]} or more", HOW)
    return values


ENGINES = ("tensorflow", "jax")
"""What Keras may compute with here; training/backends.py has what each needs."""
OTHERS = ("sklearn", "onnxruntime")
"""What experiments that train no network compute with."""


def check_profile(profile: str) -> None:
    if profile not in PROFILES:
        raise ValueError(f"PROFILE: found {profile!r}, expected one of {', '.join(PROFILES)}; name one of them")


def check_data(profile: str) -> None:
    """Raise where the profile cannot run on what is here: FileNotFoundError without FER2013, ValueError for full on
    other data than the official, whose records would take the place of those that are committed."""
    check_profile(profile)
    if profile != "smoke" and not fer2013.find():
        raise FileNotFoundError(f"PROFILE={profile} needs FER2013: give FER2013=PATH or put fer2013.csv into data/")
    if profile == "full" and not (source := data.load_faces("fer2013").source)["official"]:
        raise ValueError(
            f"PROFILE=full is for the official FER2013: found {source['file']} ({source['form']}), which differs; "
            "PROFILE=copy makes the same runs of it, kept apart"
        )


def dataset(name: str) -> data.Faces:
    """A data set as a run names it: ``data.load_faces``, and of ``data.SCENES`` one face or picture of each."""
    if name in data.SCENES:
        from ..live import scenes

        return scenes.as_faces(scenes.load_groups(name) if name.endswith("gaf") else scenes.load_clips(name))
    return data.load_faces(name)


def epochs_done(run: Run) -> int:
    """After how many epochs an unfinished run would go on; of one that trains several networks, those of all."""
    kept = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in run.unfinished.glob("checkpoint-*")]
    parts = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in run.unfinished.glob("checkpoint-*/checkpoint-*")]
    return max((int(match[1]) for match in kept if match), default=sum(int(match[1]) for match in parts if match))


def failure(run: Run) -> str:
    """The cell and the error with which a run failed when it was last tried; "" where it did not."""
    try:
        error = documents.read_json(run.unfinished / "failure.json")
        return (f"cell {error['cell']}: " if error["cell"] else "") + error["error"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def devices(run: Run) -> int:
    """How many devices are to compute a run together: ``DEVICES`` of the environment, else 1, and 1 where its notebook
    has no such parameter. It is no part of what the run is. Raises ValueError where it is no whole number above 0."""
    asked = os.environ.get("DEVICES") or "1"
    if not re.fullmatch("[0-9]{1,4}", asked) or not int(asked):
        raise ValueError(f"DEVICES: found {asked!r}, expected a whole number, 1 or more; unset or correct it")
    return int(asked) if "devices" in run.experiment["defaults"] else 1


MAY_PASS = (
    "MemoryError", "ResourceExhausted", "RESOURCE_EXHAUSTED", "out of memory", "Unable to allocate",
    "Cannot allocate memory", "bad_alloc", "ALLOC_FAILED",
    "Stale file handle", "Input/output error", "CUDA_ERROR", "No space left", "Connection reset", notebooks.LIMIT,
)  # fmt: skip
"""What errors say that another attempt may not meet: with more memory or time, or on another machine."""


def failed_for_good(run: Run) -> bool:
    """Whether a run failed, when it was last tried, by an error that another attempt would only repeat: in a cell, and
    not for want of memory or by its machine's fault. What was killed, or lost its kernel, has not."""
    error = failure(run)
    return error.startswith("cell ") and not any(words in error for words in MAY_PASS)


def command(run: Run) -> list[str]:
    """The command that makes a run in a process of its own."""
    return [sys.executable, "-m", "fer_lib", "run", run.name, "--seed", str(run.seed), "--profile", run.profile]


def execute(name: str, seed: int, profile: str) -> Path:
    """Make one run: execute its notebook, which writes the record. Returns the record's folder.

    All is made in ``Run.unfinished``: what was killed there is taken up from its last checkpoint, and the record and
    ``run.ipynb``, the executed notebook, are put in place when they are whole. If the run fails, or takes longer than
    it may (``plan.limit``), ``failure.json`` stays there and tells the failing cell and its error, an older record
    stays as it was, and RuntimeError is raised.
    """
    from . import plan  # which imports this

    this = run(name, seed, profile)
    check_data(profile)
    making = this.unfinished
    where = {"experiment": name, "title": this.experiment["title"], "profile": profile, "record": str(making)}
    where |= {"devices": devices(this)} if "devices" in this.experiment["defaults"] else {}
    with system.locked(this.lock, f"run {this}") as lock:
        for left in making.glob("*"):  # by a run that was killed or failed
            if not left.match("checkpoint-*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        notebook = this.experiment["notebook"]
        values, limit = this.parameters | where, 3600 * plan.limit(this)
        error = notebooks.execute(notebook, making / "run.ipynb", values, f"{this}: ", lock, limit)
        if error:
            writing.replace_text(making / "failure.json", json.dumps(error, indent=1) + "\n")
            raise RuntimeError(f"{this} failed: {failure(this)}")
        records.put(making, this.folder)
        shutil.rmtree(making)
    return this.folder

"""One run: parameters -> papermill -> record; and ``make reproduce``, which makes all runs that are missing."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import yaml

from . import datasets, paths, records
from .datasets import fer2013
from .protocol import PROTOCOLS

PROFILES = {
    "smoke": "drawn faces, 128 training rows, two epochs: shows that everything runs, says nothing of the papers",
    "full": "the real FER2013 under the papers' protocol",
}
SMOKE = {"data": "drawn_faces", "rows": 128, "epochs": 2}
NOT_IDENTITY = ("experiment", "title", "profile", "record")
"""Notebook parameters that say where a run goes, not what it does."""


def experiments() -> dict[str, dict]:
    """All experiments by name ("saravanan2019/table1_feedforward"), in the order of the papers' tables, ours last.

    Each is its YAML file, with ``parameters`` completed by the fields of its named protocol. One with ``milestone_of``
    has no run of its own: it is read off the runs of the experiment named there. Raises ValueError naming the file
    where one lacks a key.
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
        found[f"{path.parent.name}/{path.stem}"] = content
    order = {name: (name.startswith("ours/"), name.split("/")[0], found[name].get("order", 99), name) for name in found}
    return {name: found[name] for name in sorted(found, key=order.get)}


def notebook_parameters(notebook: str) -> dict:
    """Names and default values of a notebook's parameters: the assignments of its cell tagged "parameters"."""
    cells = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    source = "".join(tagged[0]["source"])
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
    }


def check_parameters(notebook: str, parameters: dict) -> dict:
    """The notebook's defaults with ``parameters`` over them.

    papermill only warns of a name that the notebook does not have, and passes any type on; here both are refused:
    TypeError for a value of another type than the default (an int for a float is taken), ValueError for a name.
    """
    defaults = notebook_parameters(notebook)
    for name, value in parameters.items():
        if name not in defaults:
            raise ValueError(f"{notebook}: no parameter is called {name!r}; expected one of {', '.join(defaults)}")
        default = defaults[name]
        if type(default) is float and type(value) is int:
            parameters = parameters | {name: float(value)}
        elif type(value) is not type(default):
            raise TypeError(
                f"{notebook}: parameter {name} is {value!r} ({type(value).__name__}), "
                f"expected {type(default).__name__} like {default!r}"
                + ("; YAML reads 1e-3 as text, write 1.0e-3" if type(default) is float else "")
            )
    return defaults | parameters


def backend(experiment: dict) -> str:
    """What computes an experiment: scikit-learn for the tree, Keras' backend otherwise."""
    return experiment.get("backend") or os.environ.get("KERAS_BACKEND", "tensorflow")


def parameters(experiment: dict, seed: int, profile: str) -> dict:
    """The parameters that make a run what it is, complete and checked; smoke runs cut the published ones down."""
    wanted = experiment["parameters"] | {"seed": seed}
    if profile == "smoke":
        names = notebook_parameters(experiment["notebook"])
        wanted |= {name: value for name, value in SMOKE.items() if name in names}
    full = check_parameters(experiment["notebook"], wanted)
    return {name: value for name, value in full.items() if name not in NOT_IDENTITY}


def run_folder(name: str, experiment: dict, seed: int, profile: str) -> Path:
    """Where a run's record lies."""
    precision = parameters(experiment, seed, profile).get("precision", "float32")
    computed_by = records.label(backend(experiment), precision)
    return paths.results_folder(profile) / "runs" / name / f"{computed_by}-seed{seed}"


def has_gpu() -> bool:
    """Whether an NVIDIA driver answers."""
    try:
        return subprocess.run(["nvidia-smi", "-L"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def wanted(profile: str, seeds: int | None = None, only: str = "") -> list[tuple[str, int]]:
    """The runs of a profile as (experiment, seed): 1 seed for smoke, 5 with a GPU, else what the experiment says.

    ``only``: comma-separated parts of names, of which a whole name means just itself. Raises ValueError where a part
    fits no experiment.
    """
    known = experiments()
    chosen = set() if only else set(known)
    for part in filter(None, only.split(",")):
        whole = {name for name in known if part in (name, name.split("/")[1])}
        fitting = whole or {name for name in known if part in name}
        if not fitting:
            raise ValueError(f"ONLY: no experiment's name contains {part!r}; there are {', '.join(known)}")
        chosen |= fitting
    chosen = {known[name].get("milestone_of", name) for name in chosen}
    names = [name for name in known if name in chosen]
    seeds = seeds or (1 if profile == "smoke" else 5 if has_gpu() else None)
    return [(name, seed) for name in names for seed in range(seeds or known[name].get("seeds_cpu", 3))]


def missing(profile: str, seeds: int | None = None, only: str = "", force: bool = False) -> list[tuple[str, int]]:
    """The wanted runs that have no current record (all of them with ``force``)."""
    known, hashes, result = experiments(), {}, []
    for name, seed in wanted(profile, seeds, only):
        values = parameters(known[name], seed, profile)
        if values["data"] not in hashes:
            hashes[values["data"]] = datasets.load(values["data"]).sha256
        if force or not records.is_current(
            run_folder(name, known[name], seed, profile), values, hashes[values["data"]]
        ):
            result.append((name, seed))
    return result


@contextmanager
def locked(path: Path, what: str):
    """Hold a lock that goes with its owner, however he dies. Raises RuntimeError where another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(f"{what} is already under way (it holds {path}); wait for it or stop it") from None
        yield


def execute(name: str, seed: int, profile: str) -> Path:
    """Make one run: execute its notebook, which writes the record. Returns the record's folder.

    The executed notebook is kept as ``run.ipynb``, of a failed run too; then ``failure.json`` tells the failing cell
    and its error, RuntimeError is raised, and an older record stays as it was.
    """
    known = experiments()
    if name not in known:
        raise ValueError(f"no experiment is called {name!r}; expected one of {', '.join(known)}")
    experiment = known[name]
    values = parameters(experiment, seed, profile)
    folder = run_folder(name, experiment, seed, profile)
    place = {"experiment": name, "title": experiment["title"], "profile": profile, "record": str(folder)}
    with locked(folder / ".lock", f"run {name} seed {seed}"):
        (folder / "failure.json").unlink(missing_ok=True)
        error = run_notebook(experiment["notebook"], folder / "run.ipynb", values | place, f"{name} seed {seed}: ")
        if error:
            (folder / "failure.json").write_text(json.dumps(error, indent=1) + "\n")
            raise RuntimeError(f"{name} seed {seed} failed in cell {error['cell']}: {error['error']}")
        for checkpoint in folder.glob("checkpoint*"):
            shutil.rmtree(checkpoint)
    return folder


class _Prefixed:
    """A text file that passes lines on to the terminal, each after a name: runs side by side stay apart."""

    def __init__(self, prefix: str):
        self.prefix = prefix

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                print(self.prefix + line, flush=True)

    def flush(self) -> None:
        sys.stdout.flush()


def run_notebook(notebook: str, output: Path, values: dict, prefix: str | None = None) -> dict | None:
    """Execute a notebook by papermill into ``output``; None, or where it failed (``cell``, ``error``, ``source``).

    What the notebook prints goes to the terminal too, each line after ``prefix``, unless that is None.
    """
    import papermill

    output.parent.mkdir(parents=True, exist_ok=True)
    if os.environ.get("KERAS_BACKEND") == "jax":  # read when JAX starts in the kernel; without effect on a CPU
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    problem = None
    try:
        papermill.execute_notebook(
            str(paths.NOTEBOOKS / f"{notebook}.ipynb"),
            str(output),
            parameters=check_parameters(notebook, values),
            cwd=str(paths.ROOT),
            kernel_name="python3",
            stdout_file=None if prefix is None else _Prefixed(prefix),
            progress_bar=False,
        )
    except papermill.PapermillExecutionError as error:
        problem = {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}", "source": error.source}
    # Nobody's folders belong into a result.
    output.write_text(output.read_text().replace(str(paths.ROOT) + "/", "").replace(str(Path.home()), "~"))
    return problem


def failures(profile: str, runs: list[tuple[str, int]]) -> list[str]:
    """A sentence for each of these runs that failed when it was last tried."""
    known, found = experiments(), []
    for name, seed in runs:
        path = run_folder(name, known[name], seed, profile) / "failure.json"
        if path.exists():
            error = json.loads(path.read_text())
            found.append(f"{name} seed {seed}: cell {error['cell']}: {error['error']}")
    return found


def hours(todo: list[tuple[str, int]], profile: str) -> float:
    """About how long these runs take here: at full what their YAML files expect, else some 20 seconds each."""
    if profile != "full":
        return len(todo) * 20 / 3600
    known, device = experiments(), "hours_gpu" if has_gpu() else "hours_cpu"
    return sum(float(known[name]["expect"][device]) for name, _ in todo)


def reproduce(profile: str = "", seeds: int | None = None, only: str = "", force: bool = False, jobs: int = 0) -> int:
    """Make every missing run of a profile, then the report. Returns the exit code: 0, or 1 where a run failed."""
    found = fer2013.find()
    if not profile:
        profile = "full" if found else "smoke"
        why = (
            f"FER2013 is here ({found.name})" if found else "no FER2013 is here (FER2013=PATH or data/ would bring it)"
        )
        print(f"Profile {profile}, because {why}; PROFILE= chooses another.")
    if profile not in PROFILES:
        raise ValueError(f"PROFILE: found {profile!r}, expected one of {', '.join(PROFILES)}")
    if profile == "full" and not found:
        raise FileNotFoundError("PROFILE=full needs FER2013: give FER2013=PATH or put fer2013.csv into data/")
    print(f"{profile}: {PROFILES[profile]}. Device: {'GPU' if has_gpu() else 'CPU'}.", flush=True)
    with locked(paths.RESULTS / "local" / ".lock", "make reproduce"):
        todo = missing(profile, seeds, only, force)
        total = len(wanted(profile, seeds, only))
        if not todo and report_is_current(profile):
            print(f"All {total} runs are there and the report is up to date: nothing to do. FORCE=1 repeats them.")
            print(f"Report: {(paths.results_folder(profile) / 'report.html').relative_to(paths.ROOT)}")
            return 0
        minutes = 60 * hours(todo, profile)
        about = f"{minutes / 60:.0f} hours" if minutes > 90 else f"{minutes:.0f} minutes"
        print(f"{total - len(todo)} of {total} runs are there; {len(todo)} to make, about {about}.", flush=True)
        started = time.monotonic()
        code = snakemake(profile, todo, jobs) if todo else 0
        failed = failures(profile, wanted(profile, seeds, only))
        report(profile, failed)
    left = missing(profile, seeds, only)
    print(f"{len(todo)} runs in {(time.monotonic() - started) / 60:.1f} minutes; {len(left)} still missing.")
    for sentence in failed:
        print(f"FAILED {sentence}")
    print(f"Report: {(paths.results_folder(profile) / 'report.html').relative_to(paths.ROOT)}")
    return 1 if failed or left or code else 0


def snakemake(profile: str, todo: list[tuple[str, int]], jobs: int) -> int:
    """Hand the runs to Snakemake, which knows nothing but this list: what is current was decided by the records."""
    listed = paths.RESULTS / "local" / "todo.json"
    listed.write_text(json.dumps(todo))
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/default", "--workflow-profile", "none"]
    command += [
        "--cores",
        str(jobs or os.cpu_count()),
        "--resources",
        "gpu=1",
        "--config",
        f"profile={profile}",
        f"todo={listed}",
    ]
    return subprocess.run(command, check=False, cwd=paths.ROOT).returncode


def report_inputs(profile: str) -> str:
    """A fingerprint of all that the report is made from."""
    folder = paths.results_folder(profile)
    sources = [
        *sorted((folder / "runs").glob("*/*/*/metrics.json")),
        *sorted((folder / "runs").glob("*/*/*/failure.json")),
        *sorted(paths.EXPERIMENTS.glob("*/*.yaml")),
        *sorted(paths.NOTEBOOKS.glob("*.ipynb")),
        *sorted((paths.ROOT / "fer_lib").glob("*.py")),
        *sorted((paths.ROOT / "fer_lib").glob("*.css")),
    ]
    return "\n".join(f"{records.file_hash(path)}  {path.relative_to(paths.ROOT)}" for path in sources)


def report_is_current(profile: str) -> bool:
    """Whether the report stands and was made here from what is here now."""
    stamp = paths.RESULTS / "local" / f"report-{profile}.stamp"
    made = (paths.results_folder(profile) / "report.html").exists() and stamp.exists()
    return made and stamp.read_text() == report_inputs(profile)


def report(profile: str, failed: list[str] = ()) -> Path:
    """Write ``report.html``, ``dataset.html`` and ``README.md`` of a profile; returns the first.

    Only a page below ``results/local`` shows people: ``dataset_with_people.html``, where FER2013 is here.
    """
    from . import report as pages

    folder, local = paths.results_folder(profile), paths.RESULTS / "local" / profile
    inputs = report_inputs(profile)
    about_data = {"data": "drawn_faces" if profile == "smoke" else "fer2013"}
    made = [
        ("4_report", {"results": str(folder), "profile": profile, "failures": list(failed)}, folder / "report.html")
    ]
    if profile == "smoke" or fer2013.find():
        made.append(("1_dataset", about_data, folder / "dataset.html"))
    if profile != "smoke" and fer2013.find():
        made.append(("1_dataset", about_data | {"show_people": True}, local / "dataset_with_people.html"))
    for notebook, values, page in made:
        executed = local / f"{page.stem}.ipynb"
        if error := run_notebook(notebook, executed, values):
            raise RuntimeError(f"{notebook} failed in cell {error['cell']}: {error['error']}; see {executed}")
        pages.to_html(executed, page)
    (folder / "README.md").write_text(pages.markdown(records.load(folder), experiments(), list(failed)))
    (paths.RESULTS / "local" / f"report-{profile}.stamp").write_text(inputs)
    return folder / "report.html"

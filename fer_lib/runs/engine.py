"""Snakemake, which makes the runs that no record has yet: on this machine, or on a cluster.

``plan`` decides by the records what must run; here these runs are put into jobs, each with what it needs of a machine.
The Snakefile has one rule for each kind of job, and the folders of ``profiles/`` say where jobs go.
"""

import hashlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from .. import data, paths, runs, system
from ..files import documents, refused, writing
from . import Run, plan

MEMORY = 4.0
"""Gigabytes of memory of a run whose experiment's file names none (``expect``, ``memory_gb``): twice what most took."""
FILLED = 0.5
"""Hours up to which short runs share a job on a cluster: a decision tree of a minute must not queue for itself."""
SPARE = 2.0
"""How many times as long as it is expected to take a job may take, before a cluster ends it; and ``START_MINUTES``."""
START_MINUTES = 10
THREADS = 4
"""CPU cores of a job on a cluster, unless JOBS= says otherwise."""
PATIENCE = 120.0
"""Seconds in which a cluster has to end the jobs that were cancelled."""
LOGS = "results/local/logs"
"""Where ``profiles/slurm`` has the logs of jobs."""

# Snakemake, but such that it ends with this process.
SNAKEMAKE = (
    "import sys; from fer_lib import system; system.end_with(int(sys.argv.pop(1))); "
    "from snakemake.cli import main; main()"
)


def kind(run: Run) -> str:
    """The kind of job that makes a run, a rule's name: its notebook's, such as "train_network"."""
    return re.sub(r"^\d+_", "", run.experiment["notebook"])


def resources(run: Run, cores: int, clustered: bool = False) -> dict[str, int]:
    """What a run needs of a machine: ``threads``, ``gpu`` (how many: DEVICES=), ``mem_mb`` and ``minutes``.

    All are whole numbers. ``cores``: how many a run may have that can use several. Trees and, on one machine, runs at
    smoke have one core and no GPU. Memory and hours are those of the experiment's file (``expect``); ``minutes`` is how
    long a cluster should let it run, on its way from its last checkpoint to the end.
    """
    one_core = run.backend in runs.OTHERS or (run.profile == "smoke" and not clustered)
    return {
        "threads": 1 if run.profile == "smoke" or run.backend in runs.OTHERS else cores,
        "gpu": 0 if one_core or not system.has_gpu() else runs.devices(run),
        "mem_mb": round(1000 * run.experiment["expect"].get("memory_gb", MEMORY)),
        "minutes": math.ceil(60 * SPARE * plan.hours(run)),
    }


def jobs_of(todo: list[Run], cores: int, clustered: bool = False) -> dict[str, dict]:
    """The jobs that make these runs, by their names "kind/number", in their order.

    Each has its ``kind``, the ``runs`` as ``fer run`` takes them ("study/name:seed"), their ``profile``, a ``title``
    for people, the ``data`` that has to be in the cache before, and its ``resources``. On one machine each job is one
    run. On a cluster runs of one kind that need the same share a job, one after the other, as long as all of them take
    less than ``FILLED`` hours: then it has the time of all.
    """
    gathered: list[list[tuple[int, Run, dict]]] = []
    filling: dict[tuple, list] = {}
    hours: dict[tuple, float] = {}
    for place, run in enumerate(todo, 1):
        needs, takes = resources(run, cores, clustered), plan.hours(run)
        alike = kind(run), run.profile, needs["threads"], needs["gpu"], needs["mem_mb"]
        if not clustered or alike not in filling or hours[alike] + takes > FILLED:
            filling[alike], hours[alike] = [], 0.0
            gathered.append(filling[alike])
        filling[alike].append((place, run, needs))
        hours[alike] += takes
    jobs = {}
    for number, group in enumerate(gathered, 1):
        places, own, needs = zip(*group)
        several = f" to {places[-1]}" if len(group) > 1 else ""
        jobs[f"{kind(own[0])}/{number}"] = {
            "kind": kind(own[0]),
            "runs": [f"{run.name}:{run.seed}" for run in own],
            "profile": own[0].profile,
            "title": f"run {places[0]}{several} of {len(todo)}: {', '.join(map(str, own))}",
            "data": sorted({run.parameters["data"] for run in own} - _DRAWN),
            "resources": needs[0] | {"minutes": sum(each["minutes"] for each in needs) + START_MINUTES},
        }
    return jobs


_DRAWN = {name for name in (*data.loaders(), *data.SCENES) if name.startswith("drawn_")}
"""Data that is drawn anew in each run: no cache has it."""


def execute(todo: list[Run], jobs: int | None, lock: int, cluster: str = "") -> int:
    """Hand the runs to Snakemake; returns its exit code.

    jobs: CPU cores to use; on a cluster those of each job (None: all, or ``THREADS``). cluster: the folder of
    ``profiles/`` with that cluster's settings, "" for this machine. Snakemake holds ``lock``, a file's descriptor, too,
    and ends with this process. Jobs that an earlier call left at Slurm are cancelled before, and this one's on Ctrl-C.
    Raises ValueError where the settings are damaged, RuntimeError where Slurm does not do as it is told.
    """
    profile = paths.ROOT / "profiles" / (cluster or "default")
    slurm = _settings(profile).get("executor") == "slurm"
    if slurm:
        cancel_left("an earlier call")
    cores = jobs or (THREADS if cluster else os.cpu_count() or 1)
    planned = jobs_of(todo, cores, bool(cluster))
    content = {"root": str(paths.ROOT), "python": sys.executable, "jobs": planned}
    # A list and its marks are named after what is in it: no job can mistake another call's for its own.
    name = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    local = paths.RESULTS / "local" / "jobs"
    shutil.rmtree(local, ignore_errors=True)
    local.mkdir(parents=True)
    # Relative, for Snakemake takes braces in an output's path for wildcards.
    content["marks"] = os.path.relpath(local / name, paths.ROOT)
    writing.replace_text(local / f"{name}.json", json.dumps(content, indent=1))
    command = [sys.executable, "-c", SNAKEMAKE, str(os.getpid())]
    command += ["--profile", str(profile.relative_to(paths.ROOT)), "--workflow-profile", "none"]
    command += ["--configfile", str(local / f"{name}.json")]
    if cluster:
        print(f"{len(planned)} jobs for {cluster}; what each prints is in {LOGS}/.", flush=True)
    else:
        gpus = max(job["resources"]["gpu"] for job in planned.values())  # all that a run has: one run at a time
        command += ["--cores", str(cores), "--resources", f"gpu={gpus}"]
    if not slurm:
        return subprocess.run(command, check=False, cwd=paths.ROOT, pass_fds=[lock]).returncode
    command += ["--slurm-jobname-prefix", prefix()]
    at_slurm().touch()
    code = _at_slurm(command, lock)
    while code and not _answers():  # what was to be submitted meanwhile has failed for that
        print("Slurm does not answer; this call waits until it does, and goes on.", flush=True)
        while not _answers():
            time.sleep(10)
        cancel_left("this call")
        code = _at_slurm(command, lock)
    at_slurm().unlink()
    return code


def _at_slurm(command: list[str], lock: int) -> int:
    """Call Snakemake and return its exit code. On Ctrl-C, which it gets too, it has time to cancel its jobs."""
    process = subprocess.Popen(command, cwd=paths.ROOT, pass_fds=[lock])
    try:
        return process.wait()
    except BaseException:
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()
        process.wait()
        cancel_left("this call")  # what was being submitted just then
        at_slurm().unlink(missing_ok=True)
        raise


def at_slurm() -> Path:
    """There while a call has jobs at Slurm; what a call that was killed leaves behind."""
    return paths.RESULTS / "local" / ".at-slurm"


def _settings(profile: Path) -> dict:
    """Snakemake's settings in a folder of ``profiles/``. Raises ValueError where they are damaged."""
    settings = documents.read_yaml(profile / "config.yaml")
    if not isinstance(settings, dict):
        raise refused(profile / "config.yaml", f"{settings!r:.60}", "settings", "restore it from git")
    return settings


def check_cluster(name: str) -> None:
    """Raise ValueError for a cluster that no folder of ``profiles/`` describes, whose commands are not here, or which
    would not take or follow the jobs of this checkout."""
    known = sorted(path.parent.name for path in (paths.ROOT / "profiles").glob("*/config.yaml"))
    known.remove("default")
    if name not in known:
        raise ValueError(
            f"CLUSTER: found {name!r}, expected one of {', '.join(known)}: a folder in profiles/; see docs/cluster.md"
        )
    if _settings(paths.ROOT / "profiles" / name).get("executor") != "slurm":
        return
    if lacking := [tool for tool in ("sbatch", "squeue", "scancel", "sinfo") if not shutil.which(tool)]:
        raise ValueError(
            f"CLUSTER={name}: found no command {', '.join(lacking)}, expected Slurm's; call it where jobs are submitted"
        )
    if unusual := re.search(r"""[$`\\"'%]""", str(paths.ROOT)):
        found = f"{unusual[0]} in {paths.ROOT}"
        raise ValueError(
            f"CLUSTER={name}: found {found}, expected a path without it, for Slurm's jobs; move the checkout"
        )
    age = re.search(r"MinJobAge\s*=\s*(\d+)", _asked("scontrol", "show", "config").stdout)
    if age and int(age[1]) < FORGOTTEN and _asked("sacct", "--noheader").returncode:
        raise ValueError(
            f"CLUSTER={name}: Slurm forgets ended jobs after {age[1]} seconds (MinJobAge), and sacct does not answer; "
            f"expected {FORGOTTEN} or more, or accounting, without which nobody learns how a job ended; ask your site"
        )


FORGOTTEN = 180
"""Seconds for which Slurm has to know an ended job: the longest time between two looks of Snakemake's plugin."""


def _asked(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _answers() -> bool:
    """Whether Slurm's controller does."""
    return _asked("sinfo", "--noheader").returncode == 0


def prefix() -> str:
    """What the names of this checkout's jobs on a cluster begin with."""
    return f"fer-{hashlib.sha256(str(paths.ROOT).encode()).hexdigest()[:8]}"


def cancel_left(whose: str) -> None:
    """Cancel the jobs of ``whose`` call that are still in Slurm's queue, and wait until they ended.

    Two jobs must not make one run. What was under way goes on from its last checkpoint. Raises RuntimeError where Slurm
    does not answer, or they are still there after ``PATIENCE`` seconds.
    """
    left = _queued()
    if left:
        print(f"{len(left)} jobs of {whose} are still there; they are cancelled, their runs go on.", flush=True)
    deadline = time.monotonic() + PATIENCE
    while left:
        _asked("scancel", *left)
        time.sleep(1)
        left = _queued()
        if left and time.monotonic() > deadline:
            raise RuntimeError(
                f"Slurm: found the jobs {', '.join(left)} in the queue {PATIENCE:.0f} seconds after they were "
                "cancelled, expected none; end them (scancel), then call this again"
            )


def cancel_forgotten() -> None:
    """``cancel_left``, before runs are made without a cluster, where a call that was killed had jobs at Slurm."""
    if not at_slurm().exists():
        return
    if not shutil.which("squeue"):
        found = "jobs of an earlier call that may still be at Slurm, and no command squeue"
        raise RuntimeError(f"found {found}; call this where Slurm is, or, if they ended, delete {at_slurm()}")
    cancel_left("an earlier call")
    at_slurm().unlink()


def _queued() -> list[str]:
    """The ids of this checkout's jobs in Slurm's queue. Raises RuntimeError where Slurm does not answer."""
    command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%A %j"]
    answer = _asked(*command)
    if answer.returncode:
        raise RuntimeError(f"Slurm: {shlex.join(command)} failed: {answer.stderr.strip()}; see that Slurm is up")
    lines = [line.split(maxsplit=1) for line in answer.stdout.splitlines() if line.strip()]
    return sorted({job for job, name in lines if name.startswith(prefix())})


def make_runs(named: list[tuple[str, int]], profile: str, attempt: int = 1) -> int:
    """What a job does: make runs, by name and seed, one after the other; returns 1 where one failed, else 0.

    Of several none stops the others; the error of a single one is raised. From the second ``attempt`` on, what an
    earlier one made is left out, and what failed by an error of its own (``runs.failed_for_good``) is not tried again.
    """
    failed = 0
    for name, seed in named:
        try:
            if attempt > 1:
                run = runs.run(name, seed, profile)
                if not run.unfinished.exists() and not plan.missing([run]):
                    print(f"{run}: an earlier attempt made it")
                    continue
                if runs.failed_for_good(run):
                    raise RuntimeError(f"{run} failed in an earlier attempt and would again: {runs.failure(run)}")
            folder = runs.execute(name, seed, profile)
            print(f"{name} seed {seed}: done, see {folder.relative_to(paths.ROOT)}", flush=True)
        except BrokenPipeError:
            raise
        except Exception as error:
            if len(named) == 1:
                raise
            known = isinstance(error, OSError | ValueError | RuntimeError)
            print(f"error: {error if known else repr(error)}", file=sys.stderr)
            failed = 1
    return failed

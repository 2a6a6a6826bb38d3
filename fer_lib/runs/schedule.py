"""Many runs: what is to be made, and making it side by side within a time, where there is no Snakemake."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from .. import paths, runs, system
from . import Run
from . import plan as planning

MARGIN = 15.0
"""Seconds before the deadline at which runs are ended."""
GRACE = 5.0
"""Seconds that they are given to end by themselves."""


def lock() -> Path:
    """Held by whoever makes runs here: one at a time."""
    return paths.RESULTS / "local" / ".lock"


def plan(profile: str, seeds: int | None = None, only: str = "", force: bool = False) -> tuple[list[Run], list[Run]]:
    """The wanted runs and those of them that are to be made; says how many, on what, and about how long that takes.

    Raises what ``runs.check_data`` raises.
    """
    runs.check_data(profile)
    print(f"{profile}: {runs.PROFILES[profile]}. Device: {'GPU' if system.has_gpu() else 'CPU'}.", flush=True)
    wanted = planning.wanted(profile, seeds, only)
    for sentence in planning.by_reason(planning.not_here(profile, only)):
        print(f"Left out: {sentence}.", flush=True)
    todo = [run for run, current in zip(wanted, planning.are_current(wanted)) if force or not current]
    for run in wanted:
        if run not in todo:  # its record is there: what a repeat left that was given up is of no use
            runs.discard_unfinished(run)
    if todo:
        done = len(wanted) - len(todo)
        print(f"{done} of {len(wanted)} runs are there; {len(todo)} to make, about {duration(todo)}.", flush=True)
    return wanted, todo


def duration(todo: list[Run]) -> str:
    """About how long these runs take here one after the other, in words."""
    hours = sum(map(planning.hours, todo))
    if hours > 1.6:
        return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"
    return f"{60 * hours:.0f} minutes" if 60 * hours > 1.5 else "a minute"


def make_missing(
    profile: str,
    seeds: int | None = None,
    only: str = "",
    force: bool = False,
    jobs: int = 1,
    minutes: float | None = None,
) -> int:
    """Make the missing runs, ``jobs`` at a time. Returns 1 where one failed, else 0.

    The first seeds of all come before the second ones, of these what is soonest done: a time too short for all leaves
    a run of everything, not all seeds of one thing.

    After ``minutes`` none is under way any more; what was goes on after its last whole epoch in the next call.
    """
    if jobs < 1 or (minutes is not None and minutes <= 0):
        raise ValueError(f"found jobs {jobs}, minutes {minutes}; expected 1 job or more, and more than 0 minutes")
    clock = _Clock(minutes)
    with system.locked(lock(), "making runs"):
        todo = sorted(plan(profile, seeds, only, force)[1], key=lambda run: (run.seed, planning.hours(run)))
        if not todo:
            print("All runs are there: nothing to do.")
            return 0
        done, failed, ended = _make(todo, min(jobs, len(todo)), clock)
    left = [run for run in todo if run not in done + failed + ended]
    print(f"{_count(done, failed, ended, left)} after {clock.passed / 60:.1f} minutes.")
    for state, some in {"done": done, "FAILED": failed, "under way": ended, "left": left}.items():
        for run in some:
            print(f"{state:<9}  {run}{_remark(state, run)}")
    if ended or left:
        print(f"The same command goes on; about {duration(ended + left)}.")
    return 1 if failed else 0


class _Clock:
    """How much of the minutes that were given has passed; None: they never end."""

    def __init__(self, minutes: float | None):
        self.started, self.minutes = time.monotonic(), minutes

    @property
    def passed(self) -> float:
        return time.monotonic() - self.started

    @property
    def is_up(self) -> bool:
        return self.minutes is not None and self.passed > 60 * self.minutes - MARGIN

    def __str__(self) -> str:
        return f"{self.passed / 60:.1f}" + (f" of {self.minutes:g}" if self.minutes else "") + " minutes"


def _make(todo: list[Run], jobs: int, clock: _Clock) -> tuple[list[Run], list[Run], list[Run]]:
    """The runs that were done, that failed, and that were ended because the time was up."""
    waiting, active, done, failed = list(todo), {}, [], []
    environment = _share_of(jobs)
    try:
        while (waiting or active) and not clock.is_up:
            while waiting and len(active) < jobs:
                run = waiting.pop(0)
                active[subprocess.Popen(_command(run, jobs), cwd=paths.ROOT, env=environment)] = run
            time.sleep(0.2)
            for process in [process for process in active if process.poll() is not None]:
                run = active.pop(process)
                (failed if process.returncode else done).append(run)
                print(f"{_count(done, failed, active, waiting)} after {clock}.", flush=True)
    finally:
        _end(list(active))
    return done, failed, list(active.values())


def _command(run: Run, jobs: int) -> list[str]:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return [*runs.command(run), "--threads", str(threads), "--parent", str(os.getpid())]


def _share_of(jobs: int) -> dict[str, str]:
    """The environment of one of ``jobs`` processes that share a GPU: each takes memory as it needs it, to its part."""
    part = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.2f}",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    return part | os.environ


def _end(active: list[subprocess.Popen]) -> None:
    """Terminate processes, kill those that do not end in time; their kernels end with them."""
    for process in active:
        process.terminate()
    patience = time.monotonic() + GRACE
    for process in active:
        try:
            process.wait(max(0.0, patience - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _count(done, failed, active, waiting) -> str:
    failures = f"{len(failed)} failed, " if failed else ""
    return f"{len(done)} done, {failures}{len(active)} under way, {len(waiting)} left"


def _remark(state: str, run: Run) -> str:
    if state == "FAILED":
        return f": {' '.join(planning.failures([run])) or 'see above'}"
    epochs = runs.epochs_done(run)
    kept = f"checkpoint after epoch {epochs} of {run.parameters['epochs']}, " if epochs else ""
    return "" if state == "done" else f": {kept}about {duration([run])}"

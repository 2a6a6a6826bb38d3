"""Making many runs, by Snakemake (``make reproduce``) or side by side within a time; and the report of all."""

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from .. import data, paths, runs, system
from ..data import fer2013
from ..evaluation import records
from ..files import visible, writing
from ..markdown import table
from ..report import parts
from . import Run, engine, notebooks, plan

MARGIN = 15.0
"""Seconds before the deadline at which runs are ended."""
GRACE = 5.0
"""Seconds that they are given to end by themselves."""
MUCH = 0.3e9
"""Bytes of disk that are worth a word."""


def lock_file() -> Path:
    """Held by whoever makes runs here: one at a time."""
    return paths.RESULTS / "local" / ".lock"


def reproduce(
    profile: str = "",
    seeds: int | None = None,
    only: str = "",
    force: bool = False,
    jobs: int | None = None,
    cluster: str = "",
) -> int:
    """Make every missing run of a profile, here or on a ``cluster`` ("slurm"), then, here, the report.

    Returns the exit code: 0, or 1 where a run failed. Raises ValueError for a cluster that is not known or not here.
    """
    if cluster:
        engine.check_cluster(cluster)
        os.environ["FER_CLUSTER"] = cluster  # its GPUs count, not this machine's
    with system.locked(lock_file(), "making runs") as lock:
        profile = profile or default_profile(seeds, only)
        wanted, todo = prepare(profile, seeds, only, force)
        started, code, failed, left = time.monotonic(), 0, [], 0
        if todo or not report_is_current(profile):
            code = engine.execute(todo, jobs, lock, cluster) if todo else 0
            failed = plan.failures(wanted)
            report(profile, failed)
            there = plan.are_current(wanted)
            lacking = [run for run, is_there in zip(wanted, there) if not is_there or force and run.unfinished.exists()]
            left = len(lacking)
            print(
                f"{len(todo)} runs in {(time.monotonic() - started) / 60:.1f} minutes; {left} still missing"
                + (": the same command goes on." if left else ".")
            )
            for run in lacking:
                if not runs.failure(run):
                    print(f"missing {run}: {ended(cluster)}")
        else:
            print(f"All {len(wanted)} runs are there and the report is current: nothing to do. FORCE=1 repeats them.")
    for sentence in failed:
        print(f"FAILED {sentence}")
    print(f"Report: {(paths.results_folder(profile) / 'report.html').relative_to(paths.ROOT)}")
    return 1 if failed or left or code else 0


def ended(cluster: str) -> str:
    """What may have kept a run from being made that did not fail by an error of its own: half a sentence."""
    where = f"{engine.LOGS}/ and the lines above tell" if cluster else "the lines above tell"
    return f"it was killed, or not begun; {where} by what"


def show_plan(profile: str = "", seeds: int | None = None, only: str = "", force: bool = False) -> None:
    """Say what ``reproduce`` would make, how long that takes and how much disk it needs; make nothing."""
    if cluster := os.environ.get("FER_CLUSTER"):
        engine.check_cluster(cluster)
    profile = profile or default_profile(seeds, only)
    wanted, todo = planned(profile, seeds, only, force)
    lines = []
    for name in dict.fromkeys(run.name for run in todo):
        own = [run for run in todo if run.name == name]
        asked = sum(run.name == name for run in wanted)
        lines.append({"To make": name, "Seeds": f"{len(own)} of {asked}", "Takes about": duration(own)})
    if todo:
        print(f"\n{table(lines, padded=True)}\n{disk_in_words(todo)}")
    if heavy := plan.left_to_name(profile, only):
        print(f"A GPU's work, made here only when ONLY= names it: {', '.join(heavy)}.")
    how = f"`make reproduce PROFILE={profile}`, with the same ONLY=, SEEDS=, FORCE= and CLUSTER=, makes them"
    print(f"Nothing was made; {how}." if todo else f"All {len(wanted)} runs are there: nothing to make.")


def disk_in_words(todo: list[Run]) -> str:
    """How much disk these runs need, and how much is free."""
    kept, checkpoints = plan.disk(todo)
    free = shutil.disk_usage(paths.ROOT).free
    return (
        f"Disk: about {size(kept)} for records, and up to {size(checkpoints)} for the checkpoints of a run under way; "
        f"{size(free)} are free."
    )


def size(count: float) -> str:
    """Bytes in words: "20 MB", "1.2 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count, 1e6) / 1e6:.0f} MB"


def default_profile(seeds: int | None = None, only: str = "") -> str:
    """What data and machine allow: smoke without FER2013, full (or copy) with a GPU, else quick; says why."""
    plan.chosen(runs.experiments(), only)  # a wrong name is reported before anything else
    file = fer2013.find()
    if not file:
        print("Profile smoke, because no FER2013 is here (FER2013=PATH or data/ brings it); PROFILE= chooses another.")
        return "smoke"
    whole = "full" if data.load_faces("fer2013").source["official"] else "copy"
    if system.has_gpu():
        print(f"Profile {whole}, because FER2013 is here ({file.name}) and a GPU; PROFILE= chooses another.")
        return whole
    todo = plan.missing(plan.wanted(whole, seeds, only))
    print(
        f"Profile quick, because FER2013 is here ({file.name}), but no GPU. PROFILE={whole} is the papers' protocol: "
        + (f"what is missing of it takes {about(todo)} here." if todo else "all of it is there.")
    )
    return "quick"


def planned(
    profile: str, seeds: int | None = None, only: str = "", force: bool = False, listed: list[Run] | None = None
) -> tuple[list[Run], list[Run]]:
    """The wanted runs (those ``listed``, else what the profile asks for) and those of them that are to be made; says
    how many, on what, and about how long that takes.

    Raises ValueError for a name that no experiment has, and what ``runs.check_data`` raises.
    """
    plan.chosen(runs.experiments(), only)
    runs.check_data(profile)
    plan.finish_records(profile)
    print(f"{profile}: {runs.PROFILES[profile]}. Device: {'GPU' if system.has_gpu() else 'CPU'}.", flush=True)
    wanted = plan.wanted(profile, seeds, only) if listed is None else listed
    for sentence in plan.by_reason(plan.not_here(profile, only) if listed is None else {}):
        print(f"Left out: {sentence}.", flush=True)
    todo = plan.missing(wanted, force)
    if todo:
        done = len(wanted) - len(plan.missing(wanted) if force else todo)
        again = f" ({done} of them again)" if force else ""
        print(f"{done} of {len(wanted)} runs are there; {len(todo)} to make{again}, {about(todo)}.", flush=True)
    return wanted, todo


def prepare(
    profile: str, seeds: int | None = None, only: str = "", force: bool = False, listed: list[Run] | None = None
) -> tuple[list[Run], list[Run]]:
    """``planned``, and what is in the way of these runs removed; says what disk they need, where that is much."""
    wanted, todo = planned(profile, seeds, only, force, listed)
    shutil.rmtree(paths.ROOT / ".snakemake" / "incomplete", ignore_errors=True)  # of jobs whose names never come again
    making = {run.place for run in todo}
    for run in wanted:
        if run.place not in making and not system.is_locked(
            run.lock
        ):  # its record is there: no use for a repeat given up
            shutil.rmtree(run.unfinished, ignore_errors=True)
    if todo:
        engine.cancel_forgotten()
    for run in todo:
        if force:  # what a job's second attempt still has to make again, where records are there
            run.unfinished.mkdir(parents=True, exist_ok=True)
        if not system.is_locked(run.lock):  # why it failed once says nothing of this call
            (run.unfinished / "failure.json").unlink(missing_ok=True)
    if sum(plan.disk(todo)) > MUCH:
        print(disk_in_words(todo), flush=True)
    return wanted, todo


def about(todo: list[Run]) -> str:
    """``duration`` within a sentence: "about 3 hours", "a minute or less"."""
    words = duration(todo)
    return words if words.endswith("less") else f"about {words}"


def duration(todo: list[Run]) -> str:
    """About how long these runs take here one after the other, in words."""
    hours = sum(map(plan.hours, todo))
    if hours > 1.6:
        return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"
    return f"{60 * hours:.0f} minutes" if 60 * hours > 1.5 else "a minute or less"


def make_missing(
    profile: str,
    seeds: int | None = None,
    only: str = "",
    force: bool = False,
    jobs: int = 1,
    minutes: float | None = None,
    listed: list[Run] | None = None,
) -> int:
    """Make the missing runs, ``jobs`` at a time: those that the profile asks for, or of those ``listed``. Returns 1
    where one failed, else 0.

    Those of the highest ``value`` (of their experiment, else 0) come first. Of one value, the first seeds of all come
    before the second ones, shortest first: a time too short for all leaves a run of everything, not all seeds of one
    thing.

    After ``minutes`` none is under way any more; what was goes on after its last whole epoch in the next call.
    """
    if jobs < 1 or (minutes is not None and minutes <= 0):
        raise ValueError(f"found jobs {jobs}, minutes {minutes}; expected 1 job or more, and more than 0 minutes")
    clock = _Clock(minutes)
    with system.locked(lock_file(), "making runs"):
        todo = sorted(prepare(profile, seeds, only, force, listed)[1], key=_turn)
        if not todo:
            print("All runs are there: nothing to do.")
            return 0
        states = _make(todo, min(jobs, len(todo)), clock)
    print(f"{_counts(states)} after {clock}.")
    for state, group in states.items():
        for run in group:
            print(f"{state:<9}  {run}{_remark(state, run)}")
    if rest := [*states["under way"], *states["left"]]:
        print(f"The same command goes on; {about(rest)}.")
    return 1 if states["FAILED"] else 0


def _turn(run: Run) -> tuple:
    return -run.experiment.get("value", 0), run.seed, plan.hours(run)


class _Clock:
    """How much of the minutes that were given has passed; None: they never end."""

    def __init__(self, minutes: float | None):
        self.started, self.minutes = time.monotonic(), minutes

    @property
    def is_up(self) -> bool:
        return self.minutes is not None and time.monotonic() - self.started > 60 * self.minutes - MARGIN

    def __str__(self) -> str:
        given = f" of {self.minutes:g}" if self.minutes else ""
        return f"{(time.monotonic() - self.started) / 60:.1f}{given} minutes"


def _make(todo: list[Run], jobs: int, clock: _Clock) -> dict[str, Collection[Run]]:
    """The runs by their state: done, FAILED, under way (ended because the time was up), left (not begun)."""
    active: dict[subprocess.Popen, Run] = {}
    states = {"done": [], "FAILED": [], "under way": active.values(), "left": list(todo)}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    try:
        while (states["left"] or active) and not clock.is_up:
            while states["left"] and len(active) < jobs:
                run = states["left"].pop(0)
                command = [*runs.command(run), "--threads", str(threads), "--parent", str(os.getpid())]
                active[subprocess.Popen(command, cwd=paths.ROOT, env=_share_of(jobs))] = run
            time.sleep(0.2)
            for process in [process for process in active if process.poll() is not None]:
                states["FAILED" if process.returncode else "done"].append(active.pop(process))
                print(f"{_counts(states)} after {clock}.", flush=True)
    finally:
        _end(list(active))
    return states


def _counts(states: dict[str, Collection[Run]]) -> str:
    return ", ".join(f"{len(group)} {name.lower()}" for name, group in states.items() if group or name != "FAILED")


def _remark(state: str, run: Run) -> str:
    if state == "FAILED":
        return f": {runs.failure(run) or 'see above'}"
    epochs = runs.epochs_done(run)
    kept = f"checkpoint after epoch {epochs} of {run.parameters['epochs']}, " if epochs else ""
    return "" if state == "done" else f": {kept}{about([run])}"


def _share_of(jobs: int) -> dict[str, str]:
    """The environment of one of ``jobs`` processes that share a GPU: each takes memory as it needs it, to its part."""
    return {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.2f}",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    } | os.environ


def _end(active: list[subprocess.Popen]) -> None:
    """Terminate processes, kill those that do not end in time; their kernels end with them."""
    for process in active:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in active:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check_runs(profile: str) -> None:
    """Raise FileNotFoundError where a profile has no run, and so a report would be of nothing."""
    folder = paths.results_folder(profile)
    if not records.are_in(folder):
        found = f"{folder / 'runs'}: found no run, expected some for the report of PROFILE={profile}"
        there = [each for each in paths.PROFILES if records.are_in(paths.results_folder(each))]
        others = f"; there are runs of {', '.join(there)}" if there else ""
        raise FileNotFoundError(f"{found}{others}; `make reproduce PROFILE={profile}` makes them, and the report")


def report_inputs(profile: str) -> str:
    """A fingerprint of all that the report is made from."""
    folder = paths.results_folder(profile)
    sources = [
        *folder.glob("runs/*/*/*/metrics.json"),
        *folder.glob("unfinished/*/*/*/failure.json"),
        *visible(folder, "audit/*.csv"),
        *visible(paths.EXPERIMENTS, "*/*.yaml"),
        *visible(paths.CLAIMS, "*.yaml"),
        *visible(paths.NOTEBOOKS, "*.ipynb"),
        *visible(paths.ROOT, "fer_lib/**/*.py"),
        *visible(paths.ROOT, "fer_lib/report/*.[!p]*"),  # styles, script and templates
    ]
    return "\n".join(f"{system.file_hash(path)}  {path.relative_to(paths.ROOT)}" for path in sorted(sources))


def report_is_current(profile: str) -> bool:
    """Whether the report stands and was made here from what is here now."""
    made = (paths.results_folder(profile) / "report.html").exists()
    return made and _last_inputs(profile) == report_inputs(profile)


def _stamp(profile: str) -> Path:
    return paths.RESULTS / "local" / f"report-{profile}.stamp"


def _last_inputs(profile: str) -> str:
    """The fingerprint of what the last report that was made here was made from; "" where none was."""
    return _stamp(profile).read_text() if _stamp(profile).exists() else ""


def _check(all_records: list[dict], inputs: str, profile: str) -> None:
    """Raise ValueError for a record with a figure that its predictions do not have: none of it is believed.

    Those that the last report here was made from were checked for it, by code that is still the same.
    """
    lines, before = inputs.splitlines(), set(_last_inputs(profile).splitlines())
    same_code = all(line in before for line in lines if line.endswith(".py"))
    checked = {line.partition("  ")[2] for line in lines if line in before} if same_code else set()
    wrong = []
    for record in all_records:
        if os.path.relpath(record["folder"] / "metrics.json", paths.ROOT) not in checked:
            try:
                records.check(record)
            except ValueError as error:
                wrong.append(str(error))
    if wrong:
        raise ValueError("\n".join(wrong))


def report(profile: str, failed: list[str] = ()) -> Path:
    """Write a profile's ``claims.json``, forest plot, ``README.md`` and pages: ``report.html``, ``runs.html``,
    ``causes.html``, ``climb.html``, ``dataset.html``.

    The committed results fill the marked parts of the project's README and docs, and ``docs/article.md``, too.

    Returns the report. The claims are judged once, for all of them.

    Only a page below ``results/local`` shows people: ``dataset_with_people.html``, where FER2013 is here.
    """
    with system.locked(paths.RESULTS / "local" / f"report-{profile}.lock", f"the report of {profile}", patience=600):
        return _report(profile, failed)


def _report(profile: str, failed: list[str]) -> Path:
    from ..claims import judge
    from ..evaluation import unpacked
    from ..report import article, figures, related, sections

    folder, local = paths.results_folder(profile), paths.RESULTS / "local" / profile
    plan.finish_records(profile)
    inputs = report_inputs(profile)
    all_records, experiments = records.load(folder), runs.experiments()
    unpacked.prepare(all_records)
    _check(all_records, inputs, profile)
    claims = folder / "claims.json"
    # A notebook, its parameters, and its pages with the tag of the cells that each of them leaves out.
    read = {"results": str(folder), "profile": profile}
    made = [
        ("7_runs", read, {folder / "runs.html": ""}),
        ("9_report", read | {"failures": list(failed), "claims": str(claims)}, {folder / "report.html": ""}),
        ("8_causes", read | {"claims": str(claims)}, {folder / "causes.html": ""}),
        ("8_climb", read, {folder / "climb.html": ""}),
    ]
    if profile == "smoke":
        made.append(("1_dataset", {"data": "drawn_faces"}, {folder / "dataset.html": ""}))
    elif fer2013.find():
        both = {folder / "dataset.html": "people", local / "dataset_with_people.html": ""}
        made.append(("1_dataset", {"data": "fer2013", "show_people": True}, both))

    with records.held(folder, all_records), _side_by_side() as call:
        call(_build_networks, folder)()  # what is not kept yet: notebooks read it, and start no Keras
        pages = [call(_page, made[0][0], local, *made[0][1:])]  # the longest first; it needs no claims
        judged = judge.judge_ledger(all_records, experiments, folder)
        folder.mkdir(parents=True, exist_ok=True)
        writing.replace_text(claims, judge.to_json(judged))
        pages += [call(_page, notebook, local, *of) for notebook, *of in made[1:]]
        for done in pages:
            done()
    writing.replace_text(folder / "README.md", sections.markdown(all_records, experiments, list(failed), judged))
    if judged:
        for name, dark in ((sections.FOREST, False), (sections.FOREST_DARK, True)):
            writing.replace_bytes(folder / name, figures.forest(judged, dark)._repr_png_())
    if folder == paths.ROOT / "results":
        parts.put(parts.README, "make report", sections.in_short(judged, all_records, experiments, "results/"))
        parts.put(parts.RESULTS, "make report", sections.two_intervals(judged, all_records, experiments))
        parts.put(parts.RESULTS, "make report, rules", f"{sections.rules()}\n{sections.changes()}")
        parts.put(parts.RELATED, "make report", related.systems(all_records, experiments))
        parts.put(
            parts.RELATED, "make report, near", related.near_the_state_of_the_art(judged, all_records, experiments)
        )
        writing.replace_text(article.MARKDOWN, article.markdown(judged, all_records, experiments, folder))
    writing.replace_text(_stamp(profile), inputs)
    return folder / "report.html"


def _page(notebook: str, local: Path, values: dict, pages: dict[Path, str]) -> None:
    """Execute one of the report's notebooks, and write its pages."""
    from ..report import page

    executed = local / f"{notebook}.ipynb"
    if error := notebooks.execute_here(notebook, executed, values):
        raise RuntimeError(f"{notebook} failed in cell {error['cell']}: {error['error']}; see {executed}")
    for path, without in pages.items():
        page.to_html(executed, path, without)


def _build_networks(folder: Path) -> None:
    from ..report import climb

    climb.load_networks(records.load(folder), runs.experiments())


@contextmanager
def _side_by_side() -> Iterator[Callable[..., Callable]]:
    """Call functions in two children that begin with all that this process has loaded: (function, *arguments) gives
    what waits for its result. Where a process cannot be copied, they are called here, one after the other."""
    if sys.platform != "linux":
        yield lambda function, *arguments: partial(function, *arguments)
        return
    import IPython  # noqa: F401 (here, so that no child has to)
    import nbconvert  # noqa: F401

    from ..report import page, show  # noqa: F401
    from ..report.causes import page as causes  # noqa: F401

    gc.collect()
    gc.freeze()  # no child's collector touches, and so copies, what is loaded
    owner = os.getpid()
    try:
        with ProcessPoolExecutor(2, get_context("fork"), system.ask_for_death_signal, (owner,)) as children:
            yield lambda function, *arguments: children.submit(function, *arguments).result
    finally:
        gc.unfreeze()

"""``make reproduce``: every run that is missing, made by Snakemake, then the report."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import data, paths, runs, system
from ..data import fer2013
from ..evaluation import records
from ..report import readme
from . import Run, notebooks, plan, schedule

# Snakemake, but such that it ends with this process.
SNAKEMAKE = (
    "import sys; from fer_lib import system; system.end_with(int(sys.argv.pop(1))); "
    "from snakemake.cli import main; main()"
)


def reproduce(profile: str = "", seeds: int | None = None, only: str = "", force: bool = False, jobs: int = 0) -> int:
    """Make every missing run of a profile, then the report. Returns the exit code: 0, or 1 where a run failed."""
    with system.locked(schedule.lock(), "making runs") as lock:
        profile = profile or default_profile(seeds, only)
        wanted, todo = schedule.plan(profile, seeds, only, force)
        if not todo and report_is_current(profile):
            print(
                f"All {len(wanted)} runs are there and the report is up to date: nothing to do. FORCE=1 repeats them."
            )
            print(f"Report: {(paths.results_folder(profile) / 'report.html').relative_to(paths.ROOT)}")
            return 0
        started = time.monotonic()
        code = snakemake(todo, jobs, lock) if todo else 0
        failed = plan.failures(wanted)
        report(profile, failed)
        left = plan.are_current(wanted).count(False)
    print(
        f"{len(todo)} runs in {(time.monotonic() - started) / 60:.1f} minutes; {left} still missing"
        + (": the same command goes on." if left else ".")
    )
    for sentence in failed:
        print(f"FAILED {sentence}")
    print(f"Report: {(paths.results_folder(profile) / 'report.html').relative_to(paths.ROOT)}")
    return 1 if failed or left or code else 0


def default_profile(seeds: int | None = None, only: str = "") -> str:
    """What data and machine allow: smoke without FER2013, full (or copy) with a GPU, else quick; says why."""
    found = fer2013.find()
    if not found:
        print(
            "Profile smoke, because no FER2013 is here (FER2013=PATH or data/ would bring it); "
            "PROFILE= chooses another."
        )
        return "smoke"
    whole = "full" if data.load_faces("fer2013").source["official"] else "copy"
    if system.has_gpu():
        print(f"Profile {whole}, because FER2013 is here ({found.name}) and a GPU; PROFILE= chooses another.")
        return whole
    papers = plan.missing(whole, seeds, only)
    print(
        f"Profile quick, because FER2013 is here ({found.name}), but no GPU. PROFILE={whole} is the papers' protocol: "
        + (f"what is missing of it takes about {schedule.duration(papers)} here." if papers else "all of it is there.")
    )
    return "quick"


def snakemake(todo: list[Run], jobs: int, lock: int) -> int:
    """Hand the runs to Snakemake, which knows nothing but this list: what is current was decided by the records.

    It holds ``lock`` too, and ends with this process. Returns its exit code.
    """
    listed, marks = paths.RESULTS / "local" / "todo.json", paths.RESULTS / "local" / "done"
    shutil.rmtree(marks, ignore_errors=True)
    gpu = system.has_gpu()
    entries = {}
    for number, run in enumerate(todo, 1):
        light = run.profile == "smoke" or run.backend == "sklearn"
        entries[f"{run.name}-seed{run.seed}"] = {
            "title": f"run {number} of {len(todo)}: {run}",
            "command": shlex.join(runs.command(run)),
            "light": light,  # one core is enough, and no GPU
            "gpu": int(gpu and not light),
        }
    listed.write_text(json.dumps({"marks": str(marks), "runs": entries}))
    command = [sys.executable, "-c", SNAKEMAKE, str(os.getpid())]
    command += ["--profile", "profiles/default", "--workflow-profile", "none", "--configfile", str(listed)]
    command += ["--cores", str(jobs or os.cpu_count()), "--resources", "gpu=1"]
    return subprocess.run(command, check=False, cwd=paths.ROOT, pass_fds=[lock]).returncode


def report_inputs(profile: str) -> str:
    """A fingerprint of all that the report is made from."""
    folder = paths.results_folder(profile)
    sources = [
        *sorted((folder / "runs").glob("*/*/*/metrics.json")),
        *sorted((folder / "unfinished").glob("*/*/*/failure.json")),
        *sorted(paths.EXPERIMENTS.glob("*/*.yaml")),
        *sorted(paths.CLAIMS.glob("*.yaml")),
        *sorted((folder / "audit").glob("*.csv")),
        *sorted(paths.NOTEBOOKS.glob("*.ipynb")),
        *sorted((paths.ROOT / "fer_lib").rglob("*.py")),
        *sorted(path for path in (paths.ROOT / "fer_lib" / "report").glob("page.*") if path.suffix != ".py"),
    ]
    return "\n".join(f"{system.file_hash(path)}  {path.relative_to(paths.ROOT)}" for path in sources)


def report_is_current(profile: str) -> bool:
    """Whether the report stands and was made here from what is here now."""
    stamp = paths.RESULTS / "local" / f"report-{profile}.stamp"
    made = (paths.results_folder(profile) / "report.html").exists() and stamp.exists()
    return made and stamp.read_text() == report_inputs(profile)


def report(profile: str, failed: list[str] = ()) -> Path:
    """Write a profile's ``causes.html``, ``report.html``, ``dataset.html``, ``README.md`` and ``claims.json``.

    Returns the report.

    Only a page below ``results/local`` shows people: ``dataset_with_people.html``, where FER2013 is here.
    """
    from ..claims import judge
    from ..models import architectures
    from ..report import page
    from ..report import sections as contents

    folder, local = paths.results_folder(profile), paths.RESULTS / "local" / profile
    inputs = report_inputs(profile)
    found, known = records.load(folder), runs.experiments()
    architectures.load(found)  # so that the notebook finds them kept
    # A notebook, its parameters, and its pages with the tag of the cells that each of them leaves out.
    results = {"results": str(folder), "profile": profile, "failures": list(failed)}
    made = [
        ("9_report", results, {folder / "report.html": ""}),
        ("8_causes", {"results": str(folder), "profile": profile}, {folder / "causes.html": ""}),
    ]
    if profile == "smoke":
        made.append(("1_dataset", {"data": "drawn_faces"}, {folder / "dataset.html": ""}))
    elif fer2013.find():
        both = {folder / "dataset.html": "people", local / "dataset_with_people.html": ""}
        made.append(("1_dataset", {"data": "fer2013", "show_people": True}, both))

    def make(notebook: str, values: dict, pages: dict[Path, str]) -> None:
        executed = local / f"{notebook}.ipynb"
        if error := notebooks.execute(notebook, executed, values):
            raise RuntimeError(f"{notebook} failed in cell {error['cell']}: {error['error']}; see {executed}")
        for path, without in pages.items():
            page.to_html(executed, path, without)

    with ThreadPoolExecutor(2) as side_by_side:  # the longest first
        for done in [side_by_side.submit(make, *of) for of in made]:
            done.result()
    judged = judge.judged(found, known, folder)
    (folder / "claims.json").write_text(judge.to_json(judged))
    (folder / "README.md").write_text(contents.markdown(found, known, list(failed), judged))
    if folder == paths.ROOT / "results":
        readme.put("make report", contents.in_short(judged))
    (paths.RESULTS / "local" / f"report-{profile}.stamp").write_text(inputs)
    return folder / "report.html"

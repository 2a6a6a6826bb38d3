"""Runs put into jobs with their resources, and Snakemake's call; ``make test-slurm`` tries it on a real cluster."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
import slurm as slurm_trial
from small_study import TREE, Study

from fer_lib import paths, runs, system
from fer_lib.runs import engine, plan

CPU, GPU = False, True
PROFILES = paths.ROOT / "profiles"
FAKE_SLURM = """#!{python}
import json, os, sys
from pathlib import Path
log, queue = Path({log!r}), Path({queue!r})
name = Path(sys.argv[0]).name
with log.open("a") as file:
    print(name, *sys.argv[1:], file=file)
jobs = json.loads(queue.read_text())
if name == "squeue":
    if jobs is None:
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
    for job, called in jobs.items():
        print(job, called)
if name == "scancel":
    queue.write_text(json.dumps({{job: called for job, called in jobs.items() if job not in sys.argv[1:]}}))
"""


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(system, "has_gpu", lambda: GPU)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's commands, faked: ``slurm.queue(jobs)`` sets what is in the queue, ``slurm.log()`` is what was called."""

    class Slurm:
        def queue(self, jobs):
            (tmp_path / "queue").write_text(json.dumps(jobs))

        def log(self):
            return (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []

    text = FAKE_SLURM.format(python=sys.executable, log=str(tmp_path / "log"), queue=str(tmp_path / "queue"))
    for name in ("sbatch", "squeue", "scancel", "sinfo"):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    Slurm().queue({})
    return Slurm()


def of(name: str, seed: int = 0, profile: str = "full") -> runs.Run:
    return runs.run(name, seed, profile)


TREES = "saravanan2019/table1_decision_tree"
CNN = "saravanan2019/table5_adam_128"


def test_a_job_has_what_its_experiments_file_expects(gpus, monkeypatch):
    run = of(CNN)
    hours = run.experiment["expect"]["hours_gpu"]
    assert engine.resources(run, 4) == {
        "threads": 4, "gpu": 1, "mem_mb": 4000, "minutes": -int(-(2 * 60 * (hours + plan.START)) // 1),
    }  # fmt: skip
    run.experiment["expect"]["memory_gb"] = 9.5
    assert engine.resources(run, 4)["mem_mb"] == 9500
    assert engine.resources(of(TREES), 4)["threads"] == 1
    assert engine.resources(of(TREES), 4)["gpu"] == 0
    monkeypatch.setattr(system, "has_gpu", lambda: CPU)
    assert engine.resources(of(CNN), 4)["gpu"] == 0
    assert engine.resources(of(CNN), 4)["minutes"] > 100


def test_at_smoke_one_core_is_enough_and_only_a_cluster_is_asked_for_its_gpus(gpus):
    assert engine.resources(of(CNN, profile="smoke"), 4)["threads"] == 1
    assert engine.resources(of(CNN, profile="smoke"), 4)["gpu"] == 0
    assert engine.resources(of(CNN, profile="smoke"), 4, clustered=True)["gpu"] == 1
    assert engine.resources(of(TREES, profile="smoke"), 4, clustered=True)["gpu"] == 0


def test_on_one_machine_each_job_is_one_run_of_its_kind(gpus):
    todo = [of(TREES), of(CNN), of(CNN, 1)]
    jobs = engine.jobs_of(todo, 2)
    assert list(jobs) == ["decision_tree/1", "train_network/2", "train_network/3"]
    assert [job["runs"] for job in jobs.values()] == [[f"{run.name}:{run.seed}"] for run in todo]
    assert jobs["train_network/3"]["title"] == f"run 3 of 3: {CNN} seed 1"
    assert jobs["train_network/3"]["data"] == ["fer2013"]


def test_on_a_cluster_short_runs_of_a_kind_share_a_job_and_its_time(gpus):
    todo = [of(name, seed) for seed in range(40) for name in (TREES, CNN)]
    jobs = engine.jobs_of(todo, 4, clustered=True)
    assert sorted(run for job in jobs.values() for run in job["runs"]) == sorted(f"{r.name}:{r.seed}" for r in todo)
    assert len(jobs) < len(todo) / 4
    for job in jobs.values():
        own = [run for run in todo if f"{run.name}:{run.seed}" in job["runs"]]
        assert {engine.kind(run) for run in own} == {job["kind"]}
        assert sum(map(plan.hours, own)) <= engine.FILLED
        minutes = sum(engine.resources(run, 4, True)["minutes"] for run in own)
        assert job["resources"]["minutes"] == minutes + engine.START_MINUTES


def test_on_a_cluster_a_long_run_has_a_job_of_its_own_and_other_needs_make_another_job(gpus, monkeypatch):
    monkeypatch.setattr(system, "has_gpu", lambda: CPU)
    long = [of(CNN, seed) for seed in range(2)]
    assert len(engine.jobs_of(long, 4, clustered=True)) == 2
    few, much = of(TREES), of(TREES, 1)
    much = runs.from_experiment(
        TREES, few.experiment | {"expect": few.experiment["expect"] | {"memory_gb": 64}}, 1, "full"
    )
    assert len(engine.jobs_of([few, much, of(TREES, 2)], 4, clustered=True)) == 2


def test_drawn_faces_need_no_cache_and_so_no_job_before(gpus):
    assert engine.jobs_of([of(CNN, profile="smoke")], 1)["train_network/1"]["data"] == []


def test_what_an_earlier_call_left_in_the_queue_is_cancelled_and_nothing_else(slurm, capsys):
    slurm.queue({"7": f"{engine.prefix()}_abc", "8": "somebody_elses", "9": f"{engine.prefix()}_def"})
    engine.cancel_left("an earlier call")
    assert "scancel 7 9" in slurm.log()
    assert "2 jobs of an earlier call are still there" in capsys.readouterr().out
    slurm.queue({"8": "somebody_elses"})
    engine.cancel_left("an earlier call")
    assert sum(line.startswith("scancel") for line in slurm.log()) == 1


def test_jobs_that_do_not_end_are_an_error_in_words(slurm, monkeypatch, tmp_path):
    slurm.queue({"7": f"{engine.prefix()}_abc"})
    (tmp_path / "bin" / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr(engine, "PATIENCE", 0.1)
    with pytest.raises(RuntimeError, match="found the jobs 7 in the queue .* expected none; end them"):
        engine.cancel_left("an earlier call")


def test_a_slurm_that_does_not_answer_is_an_error_in_words(slurm):
    slurm.queue(None)
    with pytest.raises(RuntimeError, match="Unable to contact slurm controller; see that Slurm is up"):
        engine.cancel_left("an earlier call")


def test_a_cluster_must_be_known_and_here(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="CLUSTER: found 'slrum', expected one of slurm: a folder in profiles/"):
        engine.check_cluster("slrum")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="found no command sbatch, squeue, scancel, sinfo, expected Slurm's"):
        engine.check_cluster("slurm")


def test_a_path_that_slurms_shell_would_read_otherwise_is_refused(slurm, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path / "a$HOME")
    shutil.copytree(PROFILES, paths.ROOT / "profiles")
    with pytest.raises(ValueError, match=r"found \$ in .*a\$HOME, expected a path without it"):
        engine.check_cluster("slurm")


def test_a_slurm_that_forgets_its_jobs_at_once_needs_accounting(slurm, tmp_path, monkeypatch):
    for age, sacct, fine in ((35, 1, False), (35, 0, True), (300, 1, True)):
        for name, line in {"scontrol": f"echo 'MinJobAge = {age} sec'", "sacct": f"exit {sacct}"}.items():
            (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        if fine:
            engine.check_cluster("slurm")
        else:
            with pytest.raises(ValueError, match="Slurm forgets ended jobs after 35 seconds"):
                engine.check_cluster("slurm")


def test_without_a_cluster_too_the_jobs_of_a_call_that_was_killed_are_cancelled(slurm, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    (tmp_path / "local").mkdir()
    slurm.queue({"7": f"{engine.prefix()}_abc"})
    engine.cancel_forgotten()
    assert not slurm.log(), "nothing says that a call had jobs there"
    engine.at_slurm().touch()
    engine.cancel_forgotten()
    assert "scancel 7" in slurm.log() and not engine.at_slurm().exists()
    engine.at_slurm().touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="and no command squeue; call this where Slurm is"):
        engine.cancel_forgotten()


def test_two_lists_of_jobs_have_two_names(gpus, monkeypatch, tmp_path):
    """A job that is still queued must not find another call's list, or mark, in the place of its own."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    done = subprocess.CompletedProcess([], 0)
    called = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: called.append(command) or done)
    for name in (TREES, CNN):
        engine.execute([of(name)], 1, 0)
        (listed,) = (tmp_path / "local" / "jobs").glob("*.json")
        assert str(listed) in called[-1]
        assert json.loads(listed.read_text())["marks"].endswith(listed.stem)
    assert called[0] != called[1]


def test_with_slurm_the_nodes_gpus_count(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("FER_CLUSTER", "slurm")
    for answer, expected in {"gpu:2": True, "gpu:a100:4(S:0-1)": True, "(null)": False}.items():
        (tmp_path / "bin" / "sinfo").write_text(f"#!/bin/sh\necho '{answer}'\n")
        system.has_gpu.cache_clear()
        assert system.has_gpu() is expected
    system.has_gpu.cache_clear()


def test_every_rule_a_profile_may_name_is_the_kind_of_some_run():
    known = runs.experiments()
    kinds = {engine.kind(of(name)) for name in known if "milestone_of" not in known[name]}
    named = (paths.ROOT / "profiles" / "slurm" / "config.yaml").read_text()
    assert all(kind in named for kind in kinds)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A study of two trees, of which one fails by an error of its own."""
    study = Study(tmp_path_factory.mktemp("tried"), tree=TREE, broken=TREE)
    notebook = study.folder / "notebooks" / "2_decision_tree.ipynb"
    content = json.loads(notebook.read_text())
    fails = {"cell_type": "code", "source": ["1 / (experiment != 'study/broken')"], "id": "x", "metadata": {}}
    content["cells"].insert(3, fails | {"outputs": [], "execution_count": None})
    notebook.write_text(json.dumps(content))
    study.first = study.run("run", "study/broken:0", "study/tree:0", "--profile", "smoke")
    return study


@pytest.mark.slow
def test_of_several_runs_one_failure_stops_no_other_and_makes_the_exit_code(tried):
    assert tried.first.returncode == 1
    assert "study/broken seed 0 failed: cell" in tried.first.stderr
    assert "study/tree seed 0: done" in tried.first.stdout


@pytest.mark.slow
def test_a_second_attempt_makes_neither_what_is_made_nor_what_would_fail_again(tried):
    record = next((tried.local / "runs").glob("*/tree/*/metrics.json"))
    before = record.read_bytes()
    again = tried.run("run", "study/broken:0", "study/tree:0", "--profile", "smoke", "--attempt", "2")
    assert again.returncode == 1
    assert "study/tree seed 0: an earlier attempt made it" in again.stdout
    assert "study/broken seed 0 failed in an earlier attempt and would again: cell" in again.stderr
    assert record.read_bytes() == before


@pytest.mark.slow
def test_a_second_attempt_makes_what_force_still_asks_for(tried):
    record = next((tried.local / "runs").glob("*/tree/*/metrics.json"))
    before = record.read_bytes()
    (tried.local / "unfinished" / record.parent.relative_to(tried.local / "runs")).mkdir(parents=True)
    again = tried.run("run", "study/tree:0", "--profile", "smoke", "--attempt", "2")
    assert again.returncode == 0, again.stderr
    assert record.read_bytes() != before


def test_a_run_whose_kernel_was_killed_or_that_lacked_memory_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    run = of(TREES, profile="smoke")
    run.unfinished.mkdir(parents=True)
    for cell, error, for_good in (
        (7, "ZeroDivisionError: division by zero", True),
        (None, "Kernel died (killed, or out of memory?); it printed no error", False),
        (7, "MemoryError: Unable to allocate 3 GiB", False),
        (7, "ResourceExhaustedError: OOM when allocating tensor", False),
        (7, "OSError: [Errno 116] Stale file handle", False),
    ):
        (run.unfinished / "failure.json").write_text(json.dumps({"cell": cell, "error": error, "source": ""}))
        assert runs.failed_for_good(run) is for_good, error


def test_the_trial_on_a_real_slurm_tells_records_apart(tmp_path):
    """What ``make test-slurm`` compares in the end: predictions byte for byte, metrics but for where they are from."""
    record = {"history": [{"loss": 1.0, "seconds": 2.0}], "seconds": 3.0, "parameters": {"seed": 0}}
    for name, changed, content in (
        ("same", {"seconds": 9.0, "history": [{"loss": 1.0, "seconds": 5.0}]}, b"a"),
        ("metrics", {"history": [{"loss": 1.5, "seconds": 2.0}]}, b"a"),
        ("predictions", {}, b"b"),
    ):
        for place, fields, arrays in (("ours", {}, b"a"), (name, changed, content)):
            folder = tmp_path / place / "runs" / "study" / "x" / "tensorflow-seed0"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").write_text(json.dumps(record | fields))
            (folder / "predictions.npz").write_bytes(arrays)
    ours = slurm_trial.records_of(tmp_path / "ours")
    found = {name: slurm_trial.differing(ours, slurm_trial.records_of(tmp_path / name)) for name in ("same", "metrics")}
    assert found == {"same": [], "metrics": ["study/x/tensorflow-seed0: other history"]}
    theirs = slurm_trial.records_of(tmp_path / "predictions")
    assert slurm_trial.differing(ours, theirs) == ["study/x/tensorflow-seed0: other predictions"]
    assert slurm_trial.differing(ours, {}) == ["study/x/tensorflow-seed0: only in one of both"]


def test_snakemake_alone_says_what_it_would_do(tmp_path, gpus, monkeypatch):
    """The list and the Snakefile together: a dry run, which starts no notebook."""
    jobs = engine.jobs_of([of(TREES), of(CNN)], 2, clustered=True)
    listed = tmp_path / "todo.json"
    listed.write_text(json.dumps({"marks": "results/local/done", "root": "/", "python": sys.executable, "jobs": jobs}))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--printshellcmds",
        "--nolock",
        "--cores",
        "2",
        "--configfile",
        str(listed),
    ]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path), "--snakefile", str(paths.ROOT / "Snakefile")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout + done.stderr
    for line in ("rule data:", "rule decision_tree:", "rule train_network:", "mem_mb=4000", "gpu=1"):
        assert line in printed
    assert f"{TREES}:0 --profile full --threads 1 --attempt 1 --parent" in printed

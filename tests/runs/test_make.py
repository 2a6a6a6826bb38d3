"""Making many runs: through Snakemake, in a copy of the project; and without it, side by side within a time."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import keras
import psutil
import pytest
from small_study import NETWORK, TREE, Study

from fer_lib import data, models, paths, runs, system
from fer_lib.__main__ import main
from fer_lib.claims import judge
from fer_lib.runs import engine, make, notebooks, plan

EXPERIMENT = """
title: A network
where: nowhere
notebook: 3_train_network
protocol: as_published
reported: {{}}
parameters: {{data: fer2013, model: feedforward, epochs: 10}}
expect: {{hours_cpu: {hours}, hours_gpu: {hours}}}
"""
# Stands for a run: tells its name and id, does something, tells that it is done.
PROCESS = """
import os, signal, sys, time
log = open({log!r}, "a", buffering=1)
print("start", {name!r}, os.getpid(), *sys.argv[1:], file=log)
{then}
print("end", {name!r}, os.getpid(), file=log)
"""


@pytest.fixture
def study(tmp_path, monkeypatch, few_faces):
    """Three experiments of 3, 1 and 2 hours; ``then[name]`` is what the process does that stands for a run."""
    folder = tmp_path / "experiments" / "study"
    folder.mkdir(parents=True)
    for name, hours in {"a": 3, "b": 1, "c": 2}.items():
        (folder / f"{name}.yaml").write_text(EXPERIMENT.format(hours=hours))
    monkeypatch.setattr(paths, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(data, "load_faces", lambda name: replace(few_faces, source={"official": True}))
    monkeypatch.setattr(runs.fer2013, "find", lambda: tmp_path / "fer2013.csv")
    monkeypatch.setattr(make, "MARGIN", 0.0)
    monkeypatch.setattr(make, "GRACE", 0.5)
    monkeypatch.setattr(system, "has_gpu", lambda: False)
    then = {}

    def command(run):
        name = run.name.split("/")[1]
        code = PROCESS.format(log=str(tmp_path / "log"), name=name, then=then.get(name, "time.sleep(0.3)"))
        return [sys.executable, "-c", code]

    monkeypatch.setattr(runs, "command", command)
    return then


def log(tmp_path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / "log").read_text().splitlines()]


def test_the_shortest_come_first_one_after_the_other(study, tmp_path, capsys):
    assert make.make_missing("full", seeds=1) == 0
    assert [line[:2] for line in log(tmp_path)] == [[what, name] for name in "bca" for what in ("start", "end")]
    out = capsys.readouterr().out
    assert "0 of 3 runs are there; 3 to make, about 6.0 hours." in out
    assert re.search(r"\n1 done, 0 under way, 2 left after \d+\.\d minutes\.", out)
    assert "3 done, 0 under way, 0 left" in out


def test_no_second_seed_comes_before_a_first(study, tmp_path):
    assert make.make_missing("full", seeds=2) == 0
    assert [line[1] for line in log(tmp_path) if line[0] == "start"] == list("bcabca")


def test_the_highest_value_comes_before_seeds_and_hours(study, tmp_path):
    """Of one value, as without any: the first seeds, and the shortest of these."""
    folder = tmp_path / "experiments" / "study"
    for name, value in {"a": 2, "d": 2, "e": -1}.items():
        (folder / f"{name}.yaml").write_text(EXPERIMENT.format(hours=4 if name == "a" else 5) + f"value: {value}\n")
    wanted = plan.wanted("full", seeds=2)
    turns = [f"{run.name.split('/')[1]}{run.seed}" for run in sorted(reversed(wanted), key=make._turn)]
    assert turns == ["a0", "d0", "a1", "d1", "b0", "c0", "b1", "c1", "e0", "e1"]
    assert make.make_missing("full", seeds=1) == 0
    assert [line[1] for line in log(tmp_path) if line[0] == "start"] == list("adbce")


def test_of_a_list_these_and_no_others(study, tmp_path, capsys):
    listed = [run for run in plan.wanted("full", seeds=2) if run.name != "study/a" and run.seed == 1]
    (tmp_path / "runs.json").write_text(plan.to_list("full", listed))
    assert main(["runs", "--missing", "--list", str(tmp_path / "runs.json")]) == 0
    assert [line[1] for line in log(tmp_path) if line[0] == "start"] == list("bc")
    assert "0 of 2 runs are there; 2 to make" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "found no such file or folder, expected a list of runs"),
        ("{", "found no JSON"),
        ('{"profile": "full"}', "lacks runs"),
        ('{"profile": "large", "runs": []}', "PROFILE: found 'large'"),
        ('{"profile": "full", "runs": ["study/d/jax-seed0"]}', "found 'study/d/jax-seed0', expected runs of the exper"),
        ('{"profile": "full", "runs": ["study/a/x"]}', "found 'study/a/x', expected runs"),
        ('{"profile": "full", "runs": [7]}', "found 7, expected runs"),
        (
            '{"profile": "full", "runs": ["study/a/jax-bfloat16-seed0"]}',
            "found study/a/jax-bfloat16-seed0, expected study/a/tensorflow-seed0, which this environment makes; set",
        ),
    ],
)
def test_a_list_that_is_none_or_of_other_runs_is_refused(study, tmp_path, monkeypatch, capsys, content, message):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    if content:
        (tmp_path / "runs.json").write_text(content)
    assert main(["runs", "--missing", "--list", str(tmp_path / "runs.json")]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "also",
    [
        [],
        ["--missing", "--seeds", "2"],
        ["--missing", "--only", "a"],
        ["--missing", "--profile", "smoke"],
        ["--missing", "--profile", "full"],
    ],
)
def test_a_list_is_for_making_what_it_has(study, capsys, also):
    assert main(["runs", "--list", "runs.json", *also]) == 1
    assert "runs --list: found it without --missing, or with a choice" in capsys.readouterr().err


def test_so_many_at_a_time_and_no_more_and_the_threads_divided(study, tmp_path):
    assert make.make_missing("full", seeds=2, jobs=2) == 0
    lines, active, most = log(tmp_path), 0, 0
    for what, *_ in lines:
        active += 1 if what == "start" else -1
        most = max(most, active)
    assert most == 2
    assert len(lines) == 12
    threads = str(max(1, os.cpu_count() // 2))
    assert {tuple(line[3:]) for line in lines if line[0] == "start"} == {
        ("--threads", threads, "--parent", str(os.getpid()))
    }


def test_a_failure_does_not_stop_the_rest_and_makes_the_exit_code(study, tmp_path, capsys):
    study["b"] = "sys.exit(1)"
    assert make.make_missing("full", seeds=1) == 1
    assert [line[1] for line in log(tmp_path) if line[0] == "end"] == ["c", "a"]
    out = capsys.readouterr().out
    assert "\n0 done, 1 failed, 0 under way, 2 left after" in out
    assert "FAILED     study/b seed 0" in out


@pytest.mark.parametrize("deaf", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_when_the_time_is_up_all_ends_and_nothing_has_failed(study, tmp_path, capsys, monkeypatch, deaf):
    study["c"] = study["a"] = deaf + "print('ready', file=log); time.sleep(60)"

    def is_up(clock):  # when both are at work: no guess at how long this machine takes for that
        return (tmp_path / "log").exists() and log(tmp_path).count(["ready"]) == 2

    monkeypatch.setattr(make._Clock, "is_up", property(is_up))
    assert make.make_missing("full", seeds=1, jobs=2, minutes=8) == 0
    lines = log(tmp_path)
    assert {line[1] for line in lines if line[0] == "start"} == {"a", "b", "c"}
    assert not any(psutil.pid_exists(int(line[2])) for line in lines if line[0] == "start")
    out = capsys.readouterr().out
    assert "1 done, 2 under way, 0 left after" in out
    assert "under way  study/c seed 0: about 2.0 hours" in out
    assert "The same command goes on; about 5.0 hours." in out


def test_nothing_is_started_when_no_time_is_left(study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(make, "MARGIN", 15.0)
    assert make.make_missing("full", seeds=1, minutes=0.2) == 0
    assert not (tmp_path / "log").exists()
    assert "0 done, 0 under way, 3 left" in capsys.readouterr().out


def test_interrupted_it_ends_what_it_started(study, tmp_path, monkeypatch):
    study["b"] = "print('ready', file=log); time.sleep(60)"
    sleep = time.sleep

    def interrupt(seconds):
        sleep(seconds)
        if (tmp_path / "log").exists() and log(tmp_path)[-1] == ["ready"]:
            monkeypatch.setattr(make.time, "sleep", sleep)  # one Ctrl-C, not one at each wait that follows
            raise KeyboardInterrupt

    monkeypatch.setattr(make.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make.make_missing("full", seeds=1)
    assert not psutil.pid_exists(int(log(tmp_path)[0][2]))


def test_a_checkpoint_shortens_the_estimate_and_is_listed(study, tmp_path):
    run = runs.run("study/a", 0, "full")
    assert plan.hours(run) == pytest.approx(3, abs=0.01)
    (run.unfinished / "checkpoint-0005").mkdir(parents=True)
    assert plan.hours(run) == pytest.approx(1.5, abs=0.01)
    assert make._remark("left", run) == ": checkpoint after epoch 5 of 10, about 90 minutes"


def test_the_plan_lists_what_would_be_made_and_makes_nothing(study, tmp_path, capsys):
    """Not even a repeat that was given up goes."""
    before = sorted(tmp_path.rglob("*"))
    make.show_plan("full", seeds=2, only="study/a,b")
    out = capsys.readouterr().out
    assert "0 of 4 runs are there; 4 to make, about 8.0 hours." in out
    assert re.search(r"\| study/a +\| +2 of 2 \| +6.0 hours \|", out) and "study/c" not in out
    assert "Disk: about 2 MB for records, and up to 34 MB for the checkpoints of a run under way" in out
    assert "`make reproduce PROFILE=full`, with the same ONLY=, SEEDS=, FORCE= and CLUSTER=, makes them" in out
    assert sorted(tmp_path.rglob("*")) == before
    make.show_plan(seeds=1)
    assert "Profile quick, because FER2013 is here (fer2013.csv), but no GPU." in capsys.readouterr().out
    with pytest.raises(ValueError, match="SEEDS: found 0, expected 1 or more"):
        make.show_plan("full", seeds=0)


def test_the_plan_names_what_a_gpu_is_for(study, tmp_path, capsys):
    (tmp_path / "experiments" / "study" / "d.yaml").write_text(EXPERIMENT.format(hours=9) + "heavy: true\n")
    make.show_plan("full", seeds=1)
    assert "A GPU's work, made here only when ONLY= names it: study/d." in capsys.readouterr().out


def test_every_network_s_disk_is_known():
    kept = json.loads((paths.RESULTS / "architectures.json").read_text())["architectures"]
    assert plan.WEIGHTS.keys() == models.ARCHITECTURES.keys()
    for name in plan.WEIGHTS.keys() & kept.keys():
        assert plan.WEIGHTS[name] == pytest.approx(sum(layer["parameters"] for layer in kept[name]), rel=0.05)


def test_several_share_a_gpu(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    share = make._share_of(3)
    assert share["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.30"
    assert share["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.10")
    assert make._share_of(3)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.10"


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"minutes": 0}, {"minutes": -1.0}])
def test_no_job_or_no_time_is_refused(study, wrong):
    with pytest.raises(ValueError, match="expected 1 job or more, and more than 0 minutes"):
        make.make_missing("full", **wrong)


def test_one_call_at_a_time(study, monkeypatch):
    monkeypatch.setattr(system, "PATIENCE", 0)
    with system.locked(make.lock_file(), "making runs"), pytest.raises(RuntimeError, match="already under way"):
        make.make_missing("full")


def test_the_reports_notebook_reads_the_claims_as_they_were_judged():
    text = (paths.ROOT / "results" / "claims.json").read_text(encoding="utf-8")
    assert judge.to_json(json.loads(text)["claims"]) == text
    assert notebooks.defaults("9_report")["claims"] == ""


def test_snakemakes_list_names_no_folder_with_braces(study, tmp_path, monkeypatch):
    """In an output's path they would be wildcards."""
    ROOT, root = paths.ROOT, tmp_path / "clone {x} [y]"
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "RESULTS", root / "results")
    (root / "results" / "local").mkdir(parents=True)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda command, **options: done)
    assert engine.execute(plan.wanted("full", seeds=1, only="a"), 1, 0) == 0
    (listed,) = (root / "results" / "local" / "jobs").glob("*.json")
    assert json.loads(listed.read_text())["marks"] == f"results/local/jobs/{listed.stem}"
    for text, found in {"a: [": "line 2: found no YAML", "": "found None, expected settings; restore it"}.items():
        (root / "profiles" / "default" / "config.yaml").write_text(text)
        with pytest.raises(ValueError, match=f"profiles/default/config.yaml.*{found}"):
            engine.execute(plan.wanted("full", seeds=1, only="a"), 1, 0)


@pytest.mark.slow
def test_one_failure_does_not_stop_the_rest_and_mended_it_alone_is_run(tmp_path):
    folder = tmp_path / "clone {x} [y]"  # no template and no pattern
    study = Study(
        folder, network=NETWORK.replace("feedforward", "feedforward, model_options: {no_such_option: 1}"), tree=TREE
    )
    first = study.run("reproduce")
    assert first.returncode == 1, first.stdout + first.stderr
    assert "Profile smoke, because no FER2013 is here" in first.stdout
    assert "FAILED study/network seed 0: cell" in first.stdout
    assert "model_options: found 'no_such_option' for feedforward, expected none" in first.stdout
    assert (study.local / "runs/study/tree/sklearn-seed0/metrics.json").exists()
    assert "no_such_option" in (study.local / "report.html").read_text()
    assert "no_such_option" in (study.local / "README.md").read_text()

    study.set("network", NETWORK)
    second = study.run("reproduce")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "1 of 2 runs are there; 1 to make" in second.stdout
    assert "FAILED" not in second.stdout
    page = (study.local / "report.html").read_text()
    assert "Drawn faces" in page
    assert "no_such_option" not in page

    third = study.run("reproduce")
    assert third.returncode == 0
    assert "nothing to do" in third.stdout
    assert not (folder / "results" / "report.html").exists()

    fourth = study.run("reproduce", "--only", "forest")
    assert fourth.returncode == 1
    assert "no experiment's name contains 'forest'" in fourth.stderr


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the machine that makes the climb has JAX alone")
def test_one_command_makes_the_climbs_final_network_where_there_is_only_jax(tmp_path):
    """That of docs/gpu.md, in small: no TensorFlow, no git, no Snakemake, and what it made can be taken home."""
    recipe = (paths.EXPERIMENTS / "ours" / "record_10_final.yaml").read_text()
    study = Study(tmp_path, record=re.sub(r"^compared_with: .*\n", "", recipe, flags=re.MULTILINE))
    study.environment |= {"FER_COMMIT": "ab" * 20, "PATH": str(tmp_path)}
    of = ("--profile", "smoke", "--only", "record")
    made = study.run("runs", "--missing", *of, "--seeds", "1", "--minutes", "8.5", "--jobs", "1")
    assert made.returncode == 0, made.stdout + made.stderr
    assert "1 done, 0 under way, 0 left" in made.stdout
    (path,) = (study.local / "runs/study/record").glob("*/metrics.json")
    record = json.loads(path.read_text())
    assert path.parent.name == "jax-bfloat16-seed0" and record["code"]["commit"] == "ab" * 20
    assert {"last", "views"} <= record["metrics"].keys()
    packed = study.run("export", "records.tar", *of)
    assert packed.returncode == 0 and (tmp_path / "records.tar").exists(), packed.stderr

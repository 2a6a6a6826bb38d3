"""SIGKILL, anywhere and at any moment: nothing survives that writes, and the next call ends as an unbroken one does."""

import os
import sys
import time

import numpy as np
import psutil
import pytest
import small_study
from small_study import NETWORK, TREE, Study

EXPERIMENTS = {"network": NETWORK, "convolutions": NETWORK.replace("feedforward", "simple_cnn"), "tree": TREE}
ROLES = {
    "make": lambda line: line[0] == "make",
    "reproduce": lambda line: "fer_lib reproduce" in " ".join(line),
    "snakemake": lambda line: "snakemake.cli" in " ".join(line),
    "run": lambda line: "fer_lib run " in " ".join(line),
    "kernel": lambda line: "ipykernel_launcher" in line,
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict:
    """The predictions of a study that nobody disturbs."""
    study = Study(tmp_path_factory.mktemp("unbroken"), **EXPERIMENTS)
    done = study.run("reproduce")
    assert done.returncode == 0, done.stdout + done.stderr
    return study.predictions()


def processes(study: Study, role: str = "") -> list[psutil.Process]:
    """What lives and works in the study's folder, or those of it that play a role."""
    return small_study.processes(study.folder, ROLES[role] if role else lambda line: True)


def wait_for(what, process):
    """Wait until ``what()`` is true, as long as the process lives."""
    while not what():
        assert process.poll() is None, "ended before the moment came"
        time.sleep(0.05)


def nothing_survives(study: Study) -> bool:
    """Whether all the study's processes end within seconds: Linux needs none, ipykernel's own look-out one."""
    patience = time.monotonic() + 10
    while processes(study) and time.monotonic() < patience:
        time.sleep(0.1)
    return not processes(study)


def assert_equal(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    for folder, arrays in expected.items():
        for name, values in arrays.items():
            np.testing.assert_array_equal(actual[folder][name], values, f"{folder} {name}")


@pytest.mark.slow
def test_killed_anywhere_the_study_ends_as_if_nothing_had_been(tmp_path, unbroken):
    study = Study(tmp_path, **EXPERIMENTS)

    def checkpoints():
        return list(study.local.glob("unfinished/study/*/*/checkpoint-*/state.json"))

    moments = [  # (what must be there, who is killed, whether the rest goes on and reports)
        (lambda: processes(study, "kernel"), ["snakemake"], True),
        (lambda: processes(study, "kernel"), ["reproduce"], False),
        (checkpoints, ["reproduce", "snakemake", "run", "kernel"], False),
        (lambda: processes(study, "kernel"), ["run"], True),
        (lambda: processes(study, "kernel"), ["kernel"], True),
        (lambda: (study.local / "9_report.ipynb").exists(), ["reproduce"], False),
    ]
    output = ""
    for moment, victims, goes_on in moments:
        (study.local / "9_report.ipynb").unlink(missing_ok=True)
        process = study.start("reproduce")
        wait_for(moment, process)
        doomed = [process for role in victims for process in processes(study, role)]
        for victim in doomed:
            victim.kill()
        code = process.wait()
        assert nothing_survives(study), victims
        assert code == 1 if goes_on else code < 0, (victims, doomed, study.output())
        output += study.output()

    # What engine and runs may have left half-written on a machine that lost its power is in nobody's way either.
    (tmp_path / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
    (tmp_path / ".snakemake" / "incomplete" / "bm8gSlNPTg==").write_text("{")
    mark = tmp_path / "results" / "local" / "done" / "study"
    mark.mkdir(parents=True, exist_ok=True)
    (mark / "network-seed0").touch()

    last = study.run("reproduce")
    assert last.returncode == 0, output + last.stdout + last.stderr
    assert "FAILED" not in last.stdout
    assert "continuing after epoch 1" in output + last.stdout
    assert_equal(study.predictions(), unbroken)
    assert not list(study.local.glob("**/*partial*"))
    assert not list((tmp_path / ".snakemake" / "incomplete").glob("*")), "one more with each kill"
    assert not [path for path in study.local.glob("unfinished/*/*/*") if path.is_dir()]
    assert "nothing to do" in study.run("reproduce").stdout


@pytest.mark.slow
def test_who_kills_make_stops_all_and_the_next_make_finishes(tmp_path, unbroken):
    study = Study(tmp_path, **EXPERIMENTS)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    command = ["make", "LOCK=lock", "--assume-old=.venv/.installed-lock", "reproduce"]
    process = study.start(command=command)
    wait_for(lambda: processes(study, "kernel"), process)
    process.kill()
    process.wait()
    assert nothing_survives(study)
    process = study.start(command=command)
    assert process.wait() == 0, study.output()
    assert_equal(study.predictions(), unbroken)


@pytest.mark.slow
def test_without_snakemake_within_a_time_and_then_to_the_end(tmp_path, unbroken):
    study = Study(tmp_path, **EXPERIMENTS)
    missing = ["runs", "--missing", "--profile", "smoke", "--jobs", str(os.cpu_count())]
    process = study.start(*missing)
    wait_for(lambda: processes(study, "kernel"), process)
    process.kill()
    process.wait()
    assert nothing_survives(study)
    first = study.run(*missing, "--minutes", "0.3")  # 18 seconds, 15 of which are kept for the end
    assert first.returncode == 0, first.stdout + first.stderr
    assert "under way, " in first.stdout and "The same command goes on" in first.stdout
    assert nothing_survives(study)
    last = study.run(*missing)
    assert last.returncode == 0, last.stdout + last.stderr
    assert "0 under way, 0 left" in last.stdout
    assert_equal(study.predictions(), unbroken)
    assert "nothing to do" in study.run(*missing).stdout

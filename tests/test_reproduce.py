"""The whole study through its engine, in a copy of the project with a few experiments, on drawn faces."""

import os
import shutil
import subprocess
import sys

import pytest

from fer_lib import paths

TREE = """
title: A tree
where: Table I, row 1
notebook: 2_decision_tree
backend: sklearn
reported: {accuracy: 30.84}
parameters: {data: fer2013, random_split: false}
deviations: [It is small.]
expect: {hours_cpu: 1, hours_gpu: 1}
"""
NETWORK = """
title: A network
where: Table I, row 2
notebook: 3_train_network
protocol: as_published
reported: {accuracy: 17.38, rows: PublicTest+PrivateTest}
parameters: {data: fer2013, model: no_such_model}
deviations: [It cannot be built.]
expect: {hours_cpu: 1, hours_gpu: 1}
"""


@pytest.mark.slow
def test_one_failure_does_not_stop_the_rest_and_mended_it_alone_is_run(tmp_path):
    for name in ("fer_lib", "notebooks", "profiles"):
        shutil.copytree(paths.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(paths.ROOT / "Snakefile", tmp_path)
    study = tmp_path / "experiments" / "study"
    study.mkdir(parents=True)
    (study / "network.yaml").write_text(NETWORK)
    (study / "tree.yaml").write_text(TREE)

    def reproduce(*options):
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "FER_CACHE": str(tmp_path / "cache")}
        environment.pop("FER2013", None)
        command = [sys.executable, "-m", "fer_lib", "reproduce", *options]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    local = tmp_path / "results" / "local" / "smoke"
    first = reproduce()
    assert first.returncode == 1, first.stdout + first.stderr
    assert "Profile smoke, because no FER2013 is here" in first.stdout
    assert "FAILED study/network seed 0: cell" in first.stdout
    assert "model: found 'no_such_model', expected one of feedforward" in first.stdout
    assert (local / "runs/study/tree/sklearn-seed0/metrics.json").exists()
    assert "no_such_model" in (local / "report.html").read_text()
    assert "no_such_model" in (local / "README.md").read_text()

    (study / "network.yaml").write_text(NETWORK.replace("no_such_model", "feedforward"))
    second = reproduce()
    assert second.returncode == 0, second.stdout + second.stderr
    assert "1 of 2 runs are there; 1 to make" in second.stdout
    assert "FAILED" not in second.stdout
    page = (local / "report.html").read_text()
    assert "Drawn faces" in page
    assert "no_such_model" not in page

    third = reproduce()
    assert third.returncode == 0
    assert "nothing to do" in third.stdout
    assert not (tmp_path / "results" / "report.html").exists()

    fourth = reproduce("--only", "forest")
    assert fourth.returncode == 1
    assert "no experiment's name contains 'forest'" in fourth.stderr

"""The whole study through its engine, in a copy of the project with a few experiments, on drawn faces."""

import pytest
from small_study import NETWORK, TREE, Study


@pytest.mark.slow
def test_one_failure_does_not_stop_the_rest_and_mended_it_alone_is_run(tmp_path):
    study = Study(tmp_path, network=NETWORK.replace("feedforward", "no_such_model"), tree=TREE)
    first = study.run("reproduce")
    assert first.returncode == 1, first.stdout + first.stderr
    assert "Profile smoke, because no FER2013 is here" in first.stdout
    assert "FAILED study/network seed 0: cell" in first.stdout
    assert "model: found 'no_such_model', expected one of feedforward" in first.stdout
    assert (study.local / "runs/study/tree/sklearn-seed0/metrics.json").exists()
    assert "no_such_model" in (study.local / "report.html").read_text()
    assert "no_such_model" in (study.local / "README.md").read_text()

    study.set("network", NETWORK)
    second = study.run("reproduce")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "1 of 2 runs are there; 1 to make" in second.stdout
    assert "FAILED" not in second.stdout
    page = (study.local / "report.html").read_text()
    assert "Drawn faces" in page
    assert "no_such_model" not in page

    third = study.run("reproduce")
    assert third.returncode == 0
    assert "nothing to do" in third.stdout
    assert not (tmp_path / "results" / "report.html").exists()

    fourth = study.run("reproduce", "--only", "forest")
    assert fourth.returncode == 1
    assert "no experiment's name contains 'forest'" in fourth.stderr

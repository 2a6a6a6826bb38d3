"""Runs: strict parameters, one notebook to one record, locks, failures. Runs under every Keras backend."""

import json
import os
import subprocess
import sys
import time

import pytest
import yaml

from fer_lib import datasets, paths, records, runs
from fer_lib.protocol import Protocol

EXPERIMENT = """
title: A small network
where: nowhere
notebook: 3_train_network
protocol: as_published
reported: {}
parameters: {data: fer2013, model: feedforward, epochs: 10}
expect: {hours_cpu: 1, hours_gpu: 1}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of one experiment, its results in a temporary folder."""
    folder = tmp_path / "experiments" / "study"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr(paths, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    return folder


def test_every_experiment_is_complete_and_its_parameters_are_taken():
    known = runs.experiments()
    assert "saravanan2019/table5_adam_128" in known
    assert known["saravanan2019/table1_proposed_cnn"]["milestone_of"] in known
    for experiment in known.values():
        if "milestone_of" in experiment:
            continue
        for profile in runs.PROFILES:
            values = runs.parameters(experiment, 0, profile)
            assert values["data"] == ("fer2013" if profile == "full" else "drawn_faces")
            if experiment["notebook"] == "3_train_network":
                Protocol(**{name: value for name, value in values.items() if name not in ("data", "seed")})
        assert experiment["deviations"]


def test_experiments_stand_in_the_order_of_the_tables():
    names = [name.split("/")[1] for name in runs.experiments() if name.startswith("saravanan2019")]
    assert names[:4] == [
        "table1_decision_tree", "table1_decision_tree_fixed_split", "table1_feedforward", "table1_simple_cnn",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            {"learnin_rate": 0.1},
            ValueError,
            "3_train_network: no parameter is called 'learnin_rate'; expected one of data",
        ),
        ({"epochs": "ten"}, TypeError, r"parameter epochs is 'ten' \(str\), expected int like 3"),
        ({"learning_rate": "1e-3"}, TypeError, "YAML reads 1e-3 as text, write 1.0e-3"),
        ({"seed": True}, TypeError, r"parameter seed is True \(bool\)"),
    ],
)
def test_unknown_and_mistyped_parameters_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        runs.check_parameters("3_train_network", wrong)


def test_a_whole_number_is_taken_for_a_float():
    assert runs.check_parameters("3_train_network", {"decay": 1})["decay"] == 1.0


def test_an_experiment_without_a_key_is_named(study):
    (study / "bad.yaml").write_text("title: Bad\n")
    with pytest.raises(ValueError, match=r"bad.yaml: lacks where, reported, notebook"):
        # The message is relative to the project, where experiments live.
        runs.experiments()


def test_only_names_that_exist(study):
    assert runs.wanted("smoke", only="smal") == [("study/small", 0)]
    assert len(runs.wanted("smoke", seeds=4)) == 4
    with pytest.raises(ValueError, match="ONLY: no experiment's name contains 'tree'; there are study/small"):
        runs.wanted("smoke", only="tree")


def test_a_whole_name_means_just_itself():
    assert runs.wanted("full", seeds=1, only="saravanan2019/table1_decision_tree") == [
        ("saravanan2019/table1_decision_tree", 0)
    ]
    assert len(runs.wanted("full", seeds=1, only="decision_tree")) == 2


def test_a_milestone_is_had_by_the_run_that_it_belongs_to():
    runs_of_it = runs.wanted("full", seeds=2, only="table1_proposed_cnn")
    assert runs_of_it == [("saravanan2019/table5_rmsprop_64", seed) for seed in (0, 1)]


def test_one_run_makes_one_record_and_is_not_missing_any_more(study):
    assert runs.missing("smoke") == [("study/small", 0)]
    folder = runs.execute("study/small", 0, "smoke")
    record = records.read(folder)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    assert folder == paths.RESULTS / "local" / "smoke" / "runs" / "study" / "small" / f"{backend}-seed0"
    assert record["experiment"] == "study/small"
    assert record["backend"] == backend
    assert record["parameters"]["loss"] == "clipped"
    assert record["parameters"]["epochs"] == 2
    assert record["parameter_count"] == 1_446_407
    assert record["data"]["sha256"] == datasets.load("drawn_faces").sha256
    assert len(record["history"]) == 2
    assert len(records.predictions(record)["ids"]) == 350
    assert not list(folder.glob("checkpoint*"))
    log = (folder / "run.ipynb").read_text()
    assert str(paths.ROOT) + "/" not in log
    assert "epoch   2/2" in log
    assert runs.missing("smoke") == []
    assert runs.missing("smoke", force=True) == [("study/small", 0)]
    content = yaml.safe_load((study / "small.yaml").read_text())
    content["parameters"]["batch_size"] = 64  # other parameters: no longer current
    (study / "small.yaml").write_text(yaml.safe_dump(content))
    assert runs.missing("smoke") == [("study/small", 0)]


def test_a_failing_run_tells_its_cell_and_leaves_the_old_record(study):
    content = yaml.safe_load((study / "small.yaml").read_text())
    folder = runs.run_folder("study/small", runs.experiments()["study/small"], 0, "smoke")
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("the old record")
    content["parameters"]["model"] = "no_such_model"
    (study / "small.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RuntimeError, match="study/small seed 0 failed in cell .*no_such_model"):
        runs.execute("study/small", 0, "smoke")
    assert (folder / "metrics.json").read_text() == "the old record"
    failure = json.loads((folder / "failure.json").read_text())
    assert "training.train" in failure["source"]
    (sentence,) = runs.failures("smoke", [("study/small", 0)])
    assert "model: found 'no_such_model'" in sentence


def test_an_unknown_experiment_is_refused(study):
    with pytest.raises(ValueError, match="no experiment is called 'study/large'; expected one of study/small"):
        runs.execute("study/large", 0, "smoke")


def test_a_lock_is_refused_while_held_and_goes_with_its_owner(tmp_path):
    path = tmp_path / "lock"
    script = (
        "import sys, time, pathlib; from fer_lib import runs\n"
        "with runs.locked(pathlib.Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, cwd=paths.ROOT)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(RuntimeError, match="it is already under way"), runs.locked(path, "it"):
        pass
    holder.kill()
    holder.wait()
    time.sleep(0.1)
    with runs.locked(path, "it"):
        pass


def test_profile_full_without_data_says_what_to_do(study):
    with pytest.raises(FileNotFoundError, match="PROFILE=full needs FER2013: give FER2013=PATH"):
        runs.reproduce("full")
    with pytest.raises(ValueError, match="PROFILE: found 'fast', expected one of smoke, full"):
        runs.reproduce("fast")

"""Several devices train one network as one does. Runs under every Keras backend, on halves of one CPU."""

import os
from dataclasses import replace

import numpy as np
import pytest
from small_study import NETWORK, Study
from two_devices import HALVES, environment, train, train_apart

from fer_lib import runs
from fer_lib.evaluation import records
from fer_lib.training import backends, loop
from fer_lib.training.protocol import Protocol

trains = pytest.mark.slow if backends.BACKEND == "tensorflow" else lambda test: test
"""Among the fast tests on JAX alone: together they train for half a minute."""
SMALL = Protocol(model="feedforward", rows=42, test_rows=28, epochs=3, batch_size=16, learning_rate=1e-4)
SAME = {
    "proposed": {"model": "proposed_cnn", "model_options": {"width": 8}, "learning_rate": 1e-3},  # it has dropout
    "batch_norm": {"model": "small_vgg", "model_options": {"width": 4}, "learning_rate": 1e-3},
    "odd": {"rows": 41, "augmentation": "flip and affine", "sampling": "balanced", "class_weights": "balanced"},
}
SLOW = {
    "odd_first": {"batch_size": 9, "augmentation": "geometry, erasing and light", "patience": 2},
    "tuned": {"frozen_epochs": 1, "body_rate": 0.1, "optimizer": "sgd", "momentum": 0.9, "augmentation": "flip"},
    "live": {
        "model": "small_vgg", "model_options": {"width": 4}, "optimizer": "sgd", "momentum": 0.9, "schedule": "cosine",
        "input_scale": "each standardised", "label_smoothing": 0.1, "augmentation": "flip, affine and erasing",
    },
    "averaged": {
        "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "linear", "warmup_epochs": 1, "ema": 0.9,
        "mixing": "cutmix", "augmentation": "perturbation", "views": "ten crops", "kept_epoch": "last",
        "batch_size": 21, "weight_decay": 0.1,
    },
    "muon": {
        "model": "resnet18", "model_options": {"width": 2}, "optimizer": "muon", "mixing": "mixup", "ema": 0.9,
        "loss": "symmetric", "weight_decay": 0.01, "epochs": 2,
    },
    # By SGD: Adam makes whole steps of gradients that are almost 0, and so of their rounding.
    "proposed_whole": {"model": "proposed_cnn", "epochs": 2, "optimizer": "sgd", "learning_rate": 0.01},
}  # fmt: skip


def check_same(one: tuple, two: tuple, loss: float, logits: float) -> None:
    """The losses and predictions of two trainings differ by no more than this."""
    for name in one[0][0]:
        if name.endswith(("loss", "accuracy", "penalty", "learning_rate")):
            ours, theirs = ([entry[name] for entry in history] for history, _ in (one, two))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=loss, err_msg=name)
    for name, values in one[1].items():
        np.testing.assert_allclose(values, two[1][name], rtol=0, atol=logits, err_msg=name)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two devices make of ``SAME``, of "odd" again, and of what one device began; and the folder."""
    folder = tmp_path_factory.mktemp("two")
    protocols = {name: replace(SMALL, **fields) for name, fields in SAME.items()}
    more = {name: protocols["odd"] for name in ("begun_by_one", "begun_by_two")}
    assert train(folder, 1, more["begun_by_one"], "begun_by_one", killed=True) is None
    again = {"odd_again": protocols["odd"]}
    return train_apart(folder, 2, ("begun_by_two",), **protocols, **again, **more), folder


@trains
@pytest.mark.parametrize("name", SAME)
def test_two_devices_have_the_loss_curve_of_one(two, tmp_path, name):
    """Dropout, augmentation and batch normalisation included, and batches that cannot be halved."""
    check_same(train(tmp_path, 1, replace(SMALL, **SAME[name]), name), two[0][name], 1e-5, 1e-4)


@trains
def test_two_devices_predict_the_same_each_time(two):
    for name, logits in two[0]["odd"][1].items():
        np.testing.assert_array_equal(logits, two[0]["odd_again"][1][name])


@trains
def test_a_run_goes_on_on_another_number_of_devices(two, tmp_path):
    protocol = replace(SMALL, **SAME["odd"])
    assert [path.name for path in (two[1] / "begun_by_two").iterdir()] == ["checkpoint-0001"]
    whole = train(tmp_path, 1, protocol, "whole")
    check_same(whole, two[0]["begun_by_one"], 1e-5, 1e-4)
    check_same(whole, train(two[1], 1, protocol, "begun_by_two"), 1e-5, 1e-4)


@pytest.mark.slow
def test_two_devices_have_the_loss_curve_of_one_with_every_optimiser_and_mixture(tmp_path):
    protocols = {name: replace(SMALL, **fields) for name, fields in SLOW.items()}
    both = train_apart(tmp_path, 2, **protocols)
    for name, protocol in protocols.items():
        check_same(train(tmp_path / "one", 1, protocol, name), both[name], 1e-4, 2e-3)


@pytest.mark.parametrize("devices", [0, 99])
def test_devices_that_are_not_there_are_refused_in_words(few_faces, devices):
    told = rf"devices: found {devices}, expected 1 to \d+, as many as \w+ finds here \(\w+\); set DEVICES"
    with pytest.raises(ValueError, match=told):
        loop.train(few_faces, SMALL, 0, progress=lambda line: None, devices=devices)
    with pytest.raises(ValueError, match=told):
        backends.device(devices)


def test_one_device_is_not_counted_in_a_record():
    assert "count" not in backends.device() | backends.device(1)


def test_the_number_of_devices_is_no_part_of_what_a_run_is(monkeypatch):
    monkeypatch.delenv("DEVICES", raising=False)
    network, tree = "saravanan2019/table1_feedforward", "saravanan2019/table1_decision_tree"
    usual = runs.run(network, 0, "smoke")
    monkeypatch.setenv("DEVICES", "2")
    assert runs.run(network, 0, "smoke") == usual and "devices" not in usual.parameters
    assert (runs.devices(usual), runs.devices(runs.run(tree, 0, "smoke"))) == (2, 1)
    for wrong in ("0", "two", "1.5"):
        monkeypatch.setenv("DEVICES", wrong)
        with pytest.raises(ValueError, match=f"DEVICES: found '{wrong}', expected a whole number, 1 or more"):
            runs.devices(usual)
    monkeypatch.setenv("DEVICES", "")
    assert runs.devices(usual) == 1


def test_an_experiment_cannot_name_a_number_of_devices():
    experiment = runs.experiments()["saravanan2019/table1_feedforward"]
    named = experiment | {"parameters": experiment["parameters"] | {"devices": 2}}
    with pytest.raises(ValueError, match="study/x.yaml, parameters: found devices, expected only what a run does"):
        runs.from_experiment("study/x", named, 0, "smoke")


@pytest.mark.slow
def test_a_run_of_two_devices_is_the_run_of_one(tmp_path):
    """Its record has their number beside the device, and is current whatever number is asked for next."""
    study = Study(tmp_path / "study", small=NETWORK)
    (tmp_path / "sitecustomize.py").write_text(HALVES)  # Python reads it before all else
    usual = study.environment["PYTHONPATH"]
    study.environment |= {**environment(), "DEVICES": "2", "PYTHONPATH": os.pathsep.join([usual, str(tmp_path)])}
    done = study.run("run", "study/small", "--seed", "0", "--profile", "smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = [path.parent for path in study.local.glob("runs/*/*/*/metrics.json")]
    record = records.read(folder)
    assert record["device"]["count"] == 2 and "devices" not in record["parameters"]
    study.environment["PYTHONPATH"] = usual
    for devices in ("2", "1"):
        study.environment["DEVICES"] = devices
        assert "current" in study.run("runs", "--profile", "smoke").stdout

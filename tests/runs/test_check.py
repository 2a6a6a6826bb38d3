"""Drift: runs that are made again are compared with their records, by a rule that was there before."""

import dataclasses
import functools
import json
import re

import keras
import made_up_records
import numpy as np
import pytest

from fer_lib import paths
from fer_lib.__main__ import main
from fer_lib.data import load_faces
from fer_lib.evaluation import provenance, records
from fer_lib.runs import check, notebooks
from fer_lib.training import backends, loop, tree
from fer_lib.training.protocol import Protocol

NAME = "saravanan2019/table1_feedforward"
PARTS = {
    2: "saravanan2019/table1_decision_tree",
    3: NAME,
}


EXPERIMENTS = functools.cache(check.experiments)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder of results; the experiments' files are read once for all tests."""
    monkeypatch.setattr(check, "experiments", EXPERIMENTS)
    monkeypatch.setattr(provenance, "code", lambda: {"commit": None, "dirty": False})
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    return paths.RESULTS


def made(results, wrong_every=(3, 3, 3), collapsed=()) -> list[dict]:
    """Records of one network: each seed is wrong on every so many-th row, or collapsed to happy."""
    return [
        made_up_records.network(
            results, seed, lambda y, k=k, seed=seed: made_up_records.always(y, 3) if seed in collapsed
            else made_up_records.answers(y, k),
        )
        for seed, k in enumerate(wrong_every)
    ]  # fmt: skip


def again(tmp_path, last, **changes) -> dict:
    """The record of seed 0 made again, with other predictions."""
    return made_up_records.network(tmp_path / "again", 0, last, **changes)


def judged(record, new, differs=()):
    difference, seeds = check.of_predictions(record, new, check.seeds_of(record))
    return difference, *check.verdict_on(difference, seeds, list(differs))


# ---- the rule


def test_an_equal_run_is_the_same_wherever_it_was_made(results, tmp_path):
    record = made(results)[0]
    new = again(tmp_path, lambda y: made_up_records.answers(y, 3))
    for differs in ([], ["numpy 3.0 instead of 2.4.6"]):
        difference, verdict, because = judged(record, new, differs)
        assert (difference["unequal"], difference["changed"], difference["points"]) == ([], 0, 0)
        assert verdict == check.SAME
        assert ("numpy 3.0" in because) == bool(differs)


def one_class_changed(labels):
    logits = made_up_records.answers(labels, 3)
    logits[1] = np.roll(logits[1], 1)
    return logits


def test_one_changed_class_is_drift_on_the_same_device_and_versions_and_nowhere_else(results, tmp_path):
    record = made(results, (3, 4, 3, 4))[0]
    new = again(tmp_path, one_class_changed)
    difference, verdict, because = judged(record, new)
    assert difference["changed"] == 1 and difference["rows"] == 350
    assert difference["probability"] > 0.5 and -0.3 < difference["points"] < 0
    assert verdict == check.DRIFTED
    assert "classes_last" in because and "Device and versions are the record's, so this is drift" in because
    _, verdict, because = judged(record, new, ["numpy 3.0 instead of 2.4.6"])
    assert verdict == check.WITHIN and "by its rows it is the record's: from its record it differs by -0.29" in because


def test_a_run_equal_but_for_one_row_is_within_though_its_record_is_no_usual_seed(results, tmp_path):
    record = made(results, (3, 9, 9, 9, 9, 9))[0]
    new = again(tmp_path, one_class_changed)
    _, verdict, because = judged(record, new, ["numpy 3.0 instead of 2.4.6"])
    assert verdict == check.WITHIN and "by its rows" in because
    worse = again(tmp_path, lambda y: made_up_records.answers(y, 2))
    _, verdict, because = judged(record, worse, ["numpy 3.0 instead of 2.4.6"])
    assert verdict == check.DRIFTED and "outside a new run's interval by 6 committed seeds" in because


def test_one_bit_of_a_probability_and_a_loss_are_seen(results, tmp_path):
    record = made(results)[0]
    difference, verdict, _ = judged(record, again(tmp_path, lambda y: made_up_records.answers(y, 3) * 1.001))
    assert difference["changed"] == 0 and 0 < difference["probability"] < 0.01
    assert verdict == check.DRIFTED and "probabilities_last" in difference["unequal"]
    difference, verdict, _ = judged(record, again(tmp_path, lambda y: made_up_records.answers(y, 3) * (1 + 1e-6)))
    assert verdict == check.DRIFTED and all("loss" in each for each in difference["unequal"])


@pytest.mark.parametrize(
    ("value", "kind", "values", "kinds", "verdict", "because"),
    [
        (50.5, "", [50, 51, 50.5], None, check.WITHIN, "inside a new run's interval by 3 committed seeds"),
        (60, "", [50, 51, 50.5], None, check.DRIFTED, "its 60.00 % are outside a new run's interval"),
        (60, "", [50, 60, 70], None, check.UNDECIDED, "too wide to tell"),
        (50.5, "", [50, 51, 24.7, 50.5], ["", "", "happy", ""], check.WITHIN, "by 3 committed seeds"),
        (
            24.7,
            "happy",
            [50] * 9 + [24.7],
            [""] * 9 + ["happy"],
            check.UNDECIDED,
            "1 of 10 committed seeds collapse so",
        ),
        (24.7, "happy", [50, 24.7], ["", "happy"], check.WITHIN, "1 of 2 committed seeds collapse so"),
        (50.5, "", [50, 51, 50.5, *[24.7] * 4], [""] * 3 + ["happy"] * 4, check.WITHIN, "by 3 committed seeds"),
        (24.7, "happy", [50, 51, 50.5], None, check.UNDECIDED, "none of 3 committed seeds did, which are too few"),
        (24.7, "happy", [50] * 19, None, check.UNDECIDED, "none of 19 committed seeds did, which are too few"),
        (24.7, "happy", [50] * 20, None, check.DRIFTED, "collapses to happy, and none of 20 committed seeds did"),
        (17, "sad", [24.7] * 3, ["happy"] * 3, check.UNDECIDED, "it collapses to sad, and none of 3"),
    ],
)
def test_the_seeds_judge_each_outcome_by_its_like(value, kind, values, kinds, verdict, because):
    found = check.by_seeds(value, kind, values, kinds or [""] * len(values), (0.1, -1, 1), rows_first=False)
    assert found[0] == verdict and because in found[1]


def test_a_rare_outcome_is_within_only_where_the_record_had_it():
    kinds, values = ["happy", *[""] * 9], [24.7, *[50 + 0.1 * k for k in range(9)]]
    verdict, because = check.by_seeds(24.7, "happy", values, kinds, None)
    assert verdict == check.UNDECIDED
    assert because.endswith("its record did not; 1 of 10 committed seeds collapse so; make more seeds of it")
    assert check.by_seeds(24.7, "happy", values, kinds, None, own="happy")[0] == check.WITHIN
    kinds, values = [""] * 3 + ["happy"] * 7, [50, 50.2, 50.4, *[24.7] * 7]
    verdict, because = check.by_seeds(50.1, "", values, kinds, None, own="happy")
    assert verdict == check.UNDECIDED and "3 of 10 committed seeds learn; make more" in because
    assert check.by_seeds(60, "", values, kinds, None, own="happy")[0] == check.DRIFTED
    assert check.by_seeds(50.1, "", values, kinds, None)[0] == check.WITHIN


def test_many_runs_in_one_call_are_judged_together():
    values = [50, 51, 50.5, 50.2, 50.8]
    assert check.by_seeds(51.9, "", values, [""] * 5, None)[0] == check.DRIFTED
    assert check.by_seeds(51.9, "", values, [""] * 5, None, runs=8)[0] == check.WITHIN
    assert check.by_seeds(24.7, "sad", [50] * 20, [""] * 20, None)[0] == check.DRIFTED
    verdict, because = check.by_seeds(24.7, "sad", [50] * 20, [""] * 20, None, runs=2)
    assert verdict == check.UNDECIDED and "with 2 runs judged at once" in because


def test_of_many_sound_runs_a_call_rarely_finds_one_drifted():
    random = np.random.default_rng(0)
    calls = random.normal(50, 1, (100, 8, 6))
    drifted = [
        any(check.by_seeds(run[0], "", run[1:], [""] * 5, None, runs=8)[0] == check.DRIFTED for run in call)
        for call in calls
    ]
    assert np.mean(drifted) < 0.12


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((0.5, -0.2, 1.2), check.WITHIN),
        ((-6, -12.5, 0.5), check.UNDECIDED),
        ((1, -1.5, 3.5), check.UNDECIDED),
        ((2, 0.5, 3.5), check.UNDECIDED),
        ((-5, -6, -3.1), check.DRIFTED),
        ((5, 3.1, 6), check.DRIFTED),
        (None, check.UNDECIDED),
    ],
)
def test_fewer_than_three_seeds_leave_the_rows(difference, verdict):
    for rows_first in (True, False):
        found = check.by_seeds(50, "", [50, 49], ["", ""], difference, rows_first=rows_first)
        assert found[0] == verdict
        before = rows_first and verdict == check.WITHIN
        assert ("by its rows it is" if before else "not decidable by seeds (2 of its kind)") in found[1]


def test_two_seeds_of_a_record_are_judged_by_its_rows(results, tmp_path):
    record = made(results, (3, 3))[0]
    for last, verdict in ((one_class_changed, check.WITHIN), (lambda y: made_up_records.answers(y, 2), check.DRIFTED)):
        assert judged(record, again(tmp_path, last), ["kind gpu instead of cpu"])[1] == verdict


def test_a_run_that_collapses_as_half_of_the_seeds_did_is_within(results, tmp_path):
    new = again(tmp_path, lambda y: made_up_records.always(y, 3))
    for collapsed, expected in (({2}, check.UNDECIDED), ({2, 3}, check.WITHIN)):
        record = made(results, (3, 3, 3, 3), collapsed)[0]
        _, verdict, because = judged(record, new, ["threads 1 instead of 2"])
        assert verdict == expected and f"{len(collapsed)} of 4 committed seeds collapse so" in because
        assert judged(record, new)[1] == check.DRIFTED


def test_a_collapse_as_the_record_s_own_is_within(results, tmp_path):
    record = made(results, (3, 3, 3, 3), collapsed={0})[0]
    new = again(tmp_path, lambda y: 1.5 * made_up_records.always(y, 3))
    assert judged(record, new, ["threads 1 instead of 2"])[1] == check.WITHIN


def test_what_differs_in_device_and_versions_is_named(results):
    record = made(results)[0]
    here = {"kind": "cpu", "name": "Abacus 9001", "processor": "family 26", "threads": 1}
    versions = {name: version for name, version in record["versions"].items() if name != "keras"} | {"numpy": "9"}
    named = check.differing(record, here, versions | {"jax": "1"})
    assert named[:2] == ["name Abacus 9001 instead of Abacus 9000", "threads 1 instead of 2"]
    assert {each.split()[0] for each in named[2:-1]} == {"keras", "numpy", "jax"}
    assert named[-1] == "processor not recorded"
    record["device"]["processor"] = "family 25"
    assert check.differing(record, record["device"], record["versions"]) == []
    assert "processor family 26 instead of family 25" in check.differing(record, here, versions)


@pytest.mark.parametrize(("device", "unknown"), [({}, True), ({"processor": ""}, True), ({"kind": "gpu"}, False)])
def test_a_cpu_is_known_only_by_its_processor(device, unknown, results):
    record = made(results, (3,))[0]
    record["device"] |= device
    assert check.differing(record, record["device"], record["versions"]) == ["processor not recorded"] * unknown
    record["device"]["processor"] = "family 25"
    assert check.differing(record, record["device"], record["versions"]) == []


def test_a_drift_elsewhere_says_where_to_look():
    verdict, because = check.verdict_on({"unequal": ["a"]}, (check.DRIFTED, "why"), [check.UNRECORDED], ["the code"])
    assert (
        verdict == check.DRIFTED
        and because == "Unequal: a. Here: processor not recorded; why. Where to look: the code."
    )
    assert "look" not in check.verdict_on({"unequal": ["a"]}, (check.WITHIN, "why"), [check.UNRECORDED], ["code"])[1]


def test_times_and_figures_that_only_the_new_code_has_are_no_drift():
    old = {"loss": 1.5, "seconds": 3, "recall": [0.1, None]}
    assert check.unlike([old], [old | {"seconds": 4, "penalty": 0}], "history") == []
    assert check.unlike([old], [old | {"recall": [0.1, 0.2]}], "history") == ["history 1 recall 2: 0.2, was None"]
    assert check.unlike([old, old], [old])
    assert check.unlike({"loss": float("nan")}, {"loss": float("nan")}) == []


# ---- epochs


def test_the_first_epochs_are_held_against_those_of_the_record(results):
    group = made(results)
    record = group[0]
    difference, seeds = check.of_epochs(record, record["history"], 2, group)
    assert check.verdict_on(difference, seeds, [])[0] == check.SAME
    changed = [dict(entry) for entry in record["history"]]
    changed[1]["loss"] += 1e-7
    difference, seeds = check.of_epochs(record, changed, 2, group)
    assert check.verdict_on(difference, seeds, [])[0] == check.DRIFTED
    assert difference["unequal"] == [f"history 2 loss: {changed[1]['loss']}, was {record['history'][1]['loss']}"]
    assert seeds[0] == check.UNDECIDED and "too wide to tell" in seeds[1]
    assert check.of_epochs(record, changed, 1, group)[0]["unequal"] == []
    assert check.of_epochs(record, record["history"][:1], 2, group)[1] == (check.DRIFTED, "it stopped after 1 epochs")


def test_an_epoch_that_predicts_one_emotion_is_compared_with_its_like(results):
    group = made(results)
    for each in group:
        each["history"][0] |= {"PublicTest_accuracy": 0.4 + 0.01 * each["seed"]}
    new = [group[0]["history"][0] | {"PublicTest_accuracy": 20 / 140}]
    assert "and none of 3 committed seeds did" in check.of_epochs(group[0], new, 1, group)[1][1]


def test_epochs_of_few_rows_apart_go_before_the_seeds(results, monkeypatch):
    group = made(results, (3, 3, 3, 3))
    record = group[0]
    for each in group:  # the record is no usual one of its group
        each["history"][0] |= {"PublicTest_accuracy": 0.6 if each is record else 0.8 + 0.001 * each["seed"]}
    monkeypatch.setattr(check.statistics, "independent_difference", lambda *given: (0.01, -0.02, 0.03))
    for rows, verdict in ((1, check.WITHIN), (4, check.UNDECIDED)):
        new = [record["history"][0] | {"PublicTest_accuracy": 0.6 + rows / 140}]
        assert check.of_epochs(record, new, 1, group)[1][0] == verdict


def trained(faces) -> list[dict]:
    protocol = Protocol(model="feedforward", epochs=2, batch_size=32)
    return loop.train(faces, protocol, 0, progress=lambda line: None)[0].history


@pytest.mark.slow
def test_two_epochs_catch_an_optimizer_whose_default_changed(results, few_faces, monkeypatch):
    record = made(results)[0] | {"history": trained(few_faces)}
    same, _ = check.of_epochs(record, trained(few_faces), 2, [record])
    assert same["unequal"] == []
    adam = keras.optimizers.Adam
    monkeypatch.setattr(keras.optimizers, "Adam", lambda *given, **named: adam(*given, **named, beta_2=0.99))
    changed, judged = check.of_epochs(record, trained(few_faces), 2, [record])
    assert check.verdict_on(changed, judged, [])[0] == check.DRIFTED
    assert any("loss" in each for each in changed["unequal"])


# ---- made again


def put(record_and_arrays, backend) -> dict:
    """Keep a record where committed ones are."""
    record, arrays = record_and_arrays
    folder = paths.RESULTS / "runs" / record["experiment"] / f"{backend}-seed0"
    records.write(folder, record, arrays)
    return records.read(folder)


def assembled(notebook, faces, evaluated, parameters, **changes):
    return records.assemble(
        experiment=PARTS[notebook], title="A trial", profile="full", faces=faces, evaluated=evaluated,
        parameters={"data": "drawn_faces", "seed": 0, **parameters}, **changes,
    )  # fmt: skip


@pytest.fixture
def drawn_tree(results) -> dict:
    """The record of a tree on drawn faces, from before a tree had most of its parameters."""
    faces = load_faces("drawn_faces")
    fitted, evaluated = tree.split(faces, False, 0)
    p = tree.fit(fitted, evaluated, 40, 0, max_features=0.02)[1]
    parameters = {"random_split": False, "min_samples_split": 40, "max_features": 0.02}
    kept = {"last": {"epoch": 1, "probabilities": p}}
    return put(
        assembled(
            2, faces, evaluated, parameters, kept=kept, backend="sklearn", device=records.cpu(), seconds=1.0
        ),
        "sklearn",
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_is_made_again_by_its_notebook_and_its_record_stays(drawn_tree, capsys):
    before = {path: path.read_bytes() for path in drawn_tree["folder"].iterdir()}
    assert main(["check-results", PARTS[2], "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Are the committed numbers still what the code gives?")
    assert re.search(r"\| whole run \| .* \| none +\| same +\|", printed)
    place = paths.RESULTS / "local" / "check"
    assert '"verdict": "same"' in (place / "check.json").read_text()
    assert records.read(place / PARTS[2] / "sklearn-seed0")["parameters"]["criterion"] == "gini"
    assert (place / PARTS[2] / "sklearn-seed0" / "run.ipynb").is_file()
    assert {path: path.read_bytes() for path in drawn_tree["folder"].iterdir()} == before
    assert sorted(path.name for path in paths.RESULTS.iterdir()) == ["local", "runs"]


def test_a_run_that_fails_is_said_and_counts(results, monkeypatch, capsys):
    record = made(results, (3,))[0]
    monkeypatch.setattr(check, "dataset", lambda name: made_up_records.faces())
    monkeypatch.setattr(check, "make", lambda *given: "cell 3: ValueError: no training row is angry")
    monkeypatch.setattr(check, "device", lambda *given: record["device"])
    assert main(["check-results", NAME]) == 1
    assert "failed. cell 3: ValueError: no training row is angry" in capsys.readouterr().out


def test_what_was_found_before_an_interruption_is_kept(results, monkeypatch):
    record = made(results, (3,))[0]
    outcomes = iter([check.Outcome("first", "whole run", "seeds", [], {}, check.FAILED, "why")])
    seen = []
    (results / "local" / "check").mkdir(parents=True)
    monkeypatch.setattr(check, "committed", lambda *given: record)

    def judge(record, epochs, runs):
        seen.append(runs)
        if outcome := next(outcomes, None):
            return outcome
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "check", judge)
    with pytest.raises(KeyboardInterrupt):
        check.check_results(["one", "two"])
    kept = json.loads((results / "local" / "check" / "check.json").read_text())
    assert [each["run"] for each in kept["runs"]] == ["first"] and seen == [2, 2]


@pytest.mark.slow
def test_two_epochs_of_a_falling_rate_are_those_of_the_whole_run(results, capsys):
    faces = load_faces("drawn_faces")
    protocol = Protocol(model="feedforward", schedule="cosine", epochs=6)
    result, evaluated = loop.train(faces, protocol, 0)
    kept = {name: {"epoch": result.epochs[name], "logits": logits} for name, logits in result.logits.items()}
    record = put(
        assembled(
            3, faces, evaluated, dataclasses.asdict(protocol), kept=kept, backend=backends.BACKEND,
            history=result.history, device=backends.device(), seconds=1.0,
        ),
        backends.BACKEND,
    )  # fmt: skip
    assert main(["check-results", NAME, "--epochs", "2"]) == 0
    assert re.search(r"\| first 2 epochs \| .* \| none +\| same +\|", capsys.readouterr().out)
    folder = paths.RESULTS / "local" / "check" / record["folder"].relative_to(paths.RESULTS / "runs")
    assert not (folder / "metrics.json").exists() and 2 <= len(check.history(folder)) < 6
    assert main(["check-results", NAME, "--epochs", "6"]) == 0
    assert "| whole run |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_committed_network_comes_out_again(fer2013_csv, tmp_path, monkeypatch, capsys):
    """The tree is made again by ``make check-results``, in CI."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "runs").symlink_to(paths.RESULTS / "runs")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("FER2013", str(fer2013_csv))
    assert main(["check-results", "ours/cause_feedforward_scaled", "--epochs", "2"]) == 0
    assert "| first 2 epochs |" in capsys.readouterr().out


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nosuch", "no experiment is called 'nosuch', expected the name of a file in experiments/"),
        ("table1_feedforward", "expected saravanan2019/table1_feedforward"),
        (f"{NAME} --seed 7", "tensorflow-seed7: found none, expected a record; there are tensorflow-seed0; name one"),
        ("saravanan2019/table1_simple_cnn", "found none, expected a record; the experiment has none; name another"),
        ("saravanan2019/table1_proposed_cnn", "has no run of its own, it is read off those of"),
        (f"{NAME} --epochs 0", "argument --epochs: found '0', expected a whole number, 1 or more"),
    ],
)
def test_a_run_without_a_record_is_named_before_anything_is_made(arguments, message, results, capsys):
    made(results, (3,))
    try:
        assert main(["check-results", *arguments.split()]) == 1
    except SystemExit as ended:
        assert ended.code == 2
    assert message in capsys.readouterr().err
    assert not (results / "local").exists()


def test_a_damaged_record_is_named(results, capsys):
    folder = made(results, (3,))[0]["folder"]
    (folder / "predictions.npz").write_bytes(b"no predictions")
    assert main(["check-results", NAME]) == 1
    assert "predictions.npz: found SHA-256" in capsys.readouterr().err
    (folder / "metrics.json").write_text("{")
    assert main(["check-results", NAME]) == 1
    assert "metrics.json, line 1: found no JSON" in capsys.readouterr().err


def test_missing_and_other_data_are_told(results, few_faces, monkeypatch, capsys):
    made(results, (3,))
    assert main(["check-results", NAME]) == 1
    assert "FER2013" in capsys.readouterr().err
    monkeypatch.setattr(check, "dataset", lambda name: few_faces)
    assert main(["check-results", NAME]) == 1
    assert f"{NAME}, data: found other faces than the record's" in capsys.readouterr().err


def test_an_engine_that_is_not_here_is_told(results, monkeypatch, capsys):
    made(results, (3,))
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    assert main(["check-results", NAME]) == 1
    assert "its engine: found no tensorflow, expected the record's; use an environment that" in capsys.readouterr().err


def test_what_is_made_where_nothing_is_named_can_be_made():
    for name, epochs in check.DEFAULT.items():
        folder = next((paths.RESULTS / "runs" / name).glob("*-seed0"))
        record = records.read(folder)
        assert record["precision"] == "float32" and bool(record["history"]) == bool(epochs)
        assert record["backend"] in ("sklearn", "tensorflow")
        notebooks.checked(check.experiments()[name]["notebook"], record["parameters"])


def test_the_page_has_the_rule_as_it_is_applied():
    page = " ".join((paths.ROOT / "docs" / "results.md").read_text().split())
    assert check.RULE in page
    for verdict in (check.SAME, check.WITHIN, check.UNDECIDED, check.DRIFTED, check.FAILED):
        assert f"**{verdict}**" in page

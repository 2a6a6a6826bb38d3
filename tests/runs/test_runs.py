"""Runs: strict parameters, one notebook to one record, failures. Works under every Keras backend."""

import ast
import dataclasses
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import made_up_records
import numpy as np
import pytest
import yaml

from fer_lib import paths, runs, system
from fer_lib.__main__ import main
from fer_lib.data import SUPPLIED, ckplus, load_faces
from fer_lib.evaluation import pooled, provenance, records
from fer_lib.models import weights
from fer_lib.runs import make, notebooks, plan
from fer_lib.training.protocol import Protocol

EXPERIMENT = """
title: A small network
where: nowhere
notebook: 3_train_network
protocol: as_published
reported: {}
parameters: {data: fer2013, model: feedforward, epochs: 10}
expect: {hours_cpu: 1, hours_gpu: 1}
"""


PLAIN_CELL = '{"cells": [{"metadata": {"tags": ["parameters"]}, "source": ["%s"]}]}'


def names(wanted):
    return [str(run) for run in wanted]


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
    for name, experiment in known.items():
        if "milestone_of" in experiment:
            continue
        for profile in runs.PROFILES:
            values = runs.from_experiment(name, experiment, 0, profile).parameters
            data = experiment["parameters"]["data"]
            smoke = f"drawn_{data}" if data in SUPPLIED else "drawn_faces"
            assert values["data"] == (smoke if profile == "smoke" else data)
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
            r"3_train_network: no parameter is called 'learnin_rate' \(found 0.1\), expected learning_rate",
        ),
        ({"epochs": "ten"}, TypeError, r"parameter epochs is 'ten' \(str\), expected int like 2"),
        ({"learning_rate": "1e-3"}, TypeError, "YAML reads 1e-3 as text, write 1.0e-3"),
        ({-1: "sgd"}, ValueError, r"no parameter is called -1 \(found 'sgd'\), expected one of data, model"),
        ({"seed": True}, TypeError, r"parameter seed is True \(bool\)"),
    ],
)
def test_unknown_and_mistyped_parameters_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        notebooks.checked("3_train_network", wrong)


def setup_cell(notebook: str) -> list[ast.stmt]:
    """The statements after the imports of the first cell of code after the parameters."""
    cells = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    (place,) = [place for place, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])]
    source = next("".join(cell["source"]) for cell in cells[place + 1 :] if cell["cell_type"] == "code")
    return [node for node in ast.parse(source).body if not isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", sorted(paths.NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_checks_its_parameters_before_anything_else(path):
    assert ast.unparse(setup_cell(path.stem)[0]) == f"notebooks.check_parameters({path.stem!r}, globals())"


def given(notebook: str, *cells: str) -> dict:
    """The ``globals()`` of a notebook with its defaults, after cells were executed."""
    variables = {"In": ["", *cells], "something": "else"} | notebooks.defaults(notebook)
    for cell in cells:
        exec(cell, variables)
    return variables


def test_a_notebook_refuses_what_papermill_put_in_wrongly():
    wrong = {"epoch = 1": "'epoch' .found 1., expected epochs", "seed = 'abc'": "seed is 'abc' .str., expected int"}
    for cell, message in wrong.items():
        with pytest.raises((ValueError, TypeError), match=message):
            notebooks.check_parameters("3_train_network", given("3_train_network", f"# Parameters\n{cell}\n"))
    with pytest.raises(TypeError, match="experiment is 12 .int.*papermill's -r passes a number as text"):
        notebooks.check_parameters("2_decision_tree", given("2_decision_tree", "# Parameters\nexperiment = 12\n"))
    with pytest.raises(ValueError, match="'depth' .found 3., expected max_depth; the first cell of code explains"):
        notebooks.check_parameters("2_decision_tree", given("2_decision_tree", "# Parameters\ndepth = 3\n"))
    with pytest.raises(ValueError, match="found no value of seed; execute the first cell of code"):
        notebooks.check_parameters("2_decision_tree", given("2_decision_tree", "del seed"))


def test_a_readers_own_cell_is_no_parameter_of_papermills():
    variables = given("2_decision_tree", "# Parameters\nfirst, second = 1, 2\nglobals()['a'] = seed = 3\n")
    notebooks.check_parameters("2_decision_tree", variables)
    assert variables["seed"] == 3


def test_an_engine_that_there_is_not_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nosuch")
    with pytest.raises(ValueError, match="KERAS_BACKEND: found 'nosuch', expected one of tensorflow, jax"):
        runs.run("saravanan2019/table1_feedforward", 0, "smoke")


def test_a_notebook_takes_what_is_right_in_jupyterlab_too():
    """There cells are executed again, after they were mended, and others beside them."""
    cells = ("# Parameters\nepoch = 1\n", "# Parameters\nepochs = 1\nlearning_rate = 1\n", "mine = 'anything'")
    variables = given("3_train_network", *cells)
    notebooks.check_parameters("3_train_network", variables)
    assert (variables["epochs"], variables["learning_rate"], variables["mine"]) == (1, 1.0, "anything")
    assert type(variables["learning_rate"]) is float
    notebooks.check_parameters("5_live", given("5_live", "# Parameters\ndetector = 'tuned'\n"))
    with pytest.raises(TypeError, match="seed is 1.5"):
        notebooks.check_parameters("3_train_network", given("3_train_network", "seed = 1.5"))


def test_papermill_itself_is_refused(tmp_path):
    papermill = pytest.importorskip("papermill")
    notebook = paths.NOTEBOOKS / "2_decision_tree.ipynb"
    how = {"kernel_name": "python3", "progress_bar": False, "cwd": str(paths.ROOT)}
    with pytest.raises(papermill.PapermillExecutionError, match="'depth' .found 3., expected max_depth"):
        papermill.execute_notebook(str(notebook), str(tmp_path / "out.ipynb"), parameters={"depth": 3}, **how)


def test_a_whole_number_is_taken_for_a_float():
    assert notebooks.checked("3_train_network", {"decay": 1})["decay"] == 1.0


def test_the_parameters_of_a_training_are_the_fields_of_its_protocol():
    """Notebook 3 makes the protocol of all parameters that are named as its fields are, notebook 4 of some."""
    own = {"data", "seed", "experiment", "title", "profile", "record"}
    types = {name: type(value) for name, value in dataclasses.asdict(Protocol()).items()}
    parameters = {name: type(value) for name, value in notebooks.defaults("3_train_network").items()}
    assert own <= parameters.keys()
    assert {name: kind for name, kind in parameters.items() if name not in own | {"devices"}} == types
    sweeps = notebooks.defaults("4_first_steps")
    assert {name: type(sweeps[name]) for name in sweeps.keys() & types.keys()}.items() <= types.items()


def test_an_experiment_without_a_key_is_named(study):
    (study / "bad.yaml").write_text("title: Bad\n")
    with pytest.raises(ValueError, match=r"bad.yaml: lacks where, reported, notebook"):
        # The message is relative to the project, where experiments live.
        runs.experiments()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title:", "titel:"), "found the key 'titel', expected title; see docs/extending.md"),
        (("expect:", "expected:"), "found the key 'expected', expected expect"),
        (("A small network", "1"), "x.yaml, title: found 1 .int., expected text, in quotes if need be"),
        (("A small network", "no"), "x.yaml, title: found False .bool., expected text, in quotes if need be"),
        (("protocol: as_published", "protocol: published"), "protocol: found 'published', expected one of as_pub"),
        (("3_train_network", "3_train"), "x.yaml, notebook: found '3_train', expected one of 1_dataset, 2_decision"),
        (
            ("{data: fer2013, model: feedforward, epochs: 10}", "fer2013"),
            "parameters: found 'fer2013' .str., expected a",
        ),
        (("{hours_cpu: 1, hours_gpu: 1}", "{hours_cpu: 1}"), "x.yaml, expect: lacks hours_gpu"),
        (("hours_cpu: 1", "hours_cpu: long"), "x.yaml, expect, hours_cpu: found 'long' .str., expected a number"),
        (("reported: {}", "reported: {acuracy: 3}"), "x.yaml, reported: found the key 'acuracy', expected accuracy"),
        (("where: nowhere", "where: nowhere\nseeds: 0"), "x.yaml, seeds: found 0, expected 1 or more"),
        (("where: nowhere", "where: nowhere\nheavy: 'no'"), "x.yaml, heavy: found 'no' .str., expected true or false"),
        (("where: nowhere", "where: nowhere\nbackend: torch"), "x.yaml, backend: found 'torch', expected one of tens"),
        (("where: nowhere", "where: nowhere\ndeviations: [1]"), "x.yaml, deviations: found 1, expected sentences"),
        (("where: nowhere", "where: nowhere\nwhere: here"), "x.yaml, line 4: found no YAML .'where' again."),
        (("where: nowhere", "where: {"), "study/x.yaml, line 5: found no YAML"),
        ((EXPERIMENT, ""), "experiments/study/x.yaml: found nothing, expected a mapping of keys such as title"),
        ((EXPERIMENT, "- a"), r"experiments/study/x.yaml: found \['a'\], expected a mapping of keys such as title"),
    ],
)
def test_what_is_wrong_with_an_experiments_file_is_told_with_its_place(study, change, message):
    text = EXPERIMENT.replace(*change)
    assert text != EXPERIMENT
    (study / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        runs.experiments()
    assert str(raised.value).startswith("experiments/study/x.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("{data: fer2013, model: feedforward, epochs: 10}", "{}"),
            ", parameters: found no data, expected one of drawn",
        ),
        (
            ("data: fer2013, ", ""),
            ", parameters: found no data, expected one of drawn_faces, fer2013, .*; see docs/ext",
        ),
        (("data: fer2013", "data: 5"), ": 3_train_network: parameter data is 5 .int., expected str like 'drawn_faces'"),
        (("data: fer2013", "data: [a]"), r": 3_train_network: parameter data is \['a'\] .list., expected str"),
        (("data: fer2013", "data: fer13"), ", data: found 'fer13', expected one of drawn_faces, fer2013, "),
        (("feedforward", "nope"), ", model: found 'nope', expected one of feedforward, simple_cnn, "),
        (("epochs: 10", "epochs: 0"), ": epochs: found 0, expected 1 or more; see docs/extending.md"),
        (("epochs: 10", "batch_size: 0"), ": batch_size: found 0, expected 1 or more; see docs/extending.md"),
        (("epochs: 10", "learning_rate: -1"), ": learning_rate: found -1.0, expected 0 or more"),
        (
            ("epochs: 10", "learning_rate: .nan"),
            ": 3_train_network: parameter learning_rate has nan, expected a finite",
        ),
        (
            ("epochs: 10", "learning_rate: .inf"),
            ": 3_train_network: parameter learning_rate has inf, expected a finite",
        ),
        (("epochs: 10", "at_most: {happy: .nan}"), ": 3_train_network: parameter at_most has nan, expected a finite"),
        (("epochs: 10", "optimizer: foo"), ": optimizer: found 'foo', expected one of adam, rmsprop, sgd"),
        (("where: nowhere", "where: nowhere\nsmoke: {epochs: 0}"), ": epochs: found 0, expected 1 or more"),
        (("where: nowhere", "where: nowhere\nquick: {epoch: 1}"), ": 3_train_network: no parameter is called 'epoch'"),
        (("where: nowhere", "where: nowhere\nquick: {data: 5}"), ": 3_train_network: parameter data is 5 .int."),
        (("hours_cpu: 1", "hours_cpu: .nan"), ", expect, hours_cpu: found nan .float., expected a number"),
        (("hours_cpu: 1", "hours_cpu: -1"), ", hours_cpu: found -1, expected 0 or more"),
        (("reported: {}", "reported: {accuracy: .inf}"), ", reported, accuracy: found inf .float., expected a number"),
        (
            ("3_train_network", "5_live"),
            ", notebook: found '5_live', without data, expected the name of a notebook that",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "runs"])
def test_a_wrong_parameter_is_told_by_every_verb_before_anything_is_planned(study, capsys, verb, change, message):
    text = EXPERIMENT.replace(*change)
    assert text != EXPERIMENT
    (study / "x.yaml").write_text(text)
    assert main([verb, "--profile", "smoke", "--only", "small"]) == 1
    assert re.match(f"error: experiments/study/x.yaml{message}", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("notebook", "parameters", "message"),
    [
        ("2_decision_tree", "min_samples_split: 1", ", min_samples_split: found 1, expected 2 or more"),
        ("2_decision_tree", "criterion: foo", ", criterion: found 'foo', expected one of gini, entropy, log_loss"),
        ("4_first_steps", "steps: 0", ", steps: found 0, expected 1 or more"),
        ("4_first_steps", "batch_size: 0", ": batch_size: found 0, expected 1 or more"),
        ("4_first_steps", "rate_factors: [.inf]", ": 4_first_steps: parameter rate_factors has inf, expected a finite"),
        (
            "6_live_conditions",
            "split: Test",
            ", split: found 'Test', expected one of Training, PublicTest, PrivateTest",
        ),
        ("6_live_conditions", "count: -1", ", count: found -1, expected 0 or more"),
    ],
)
def test_the_parameters_of_every_notebook_are_checked(study, notebook, parameters, message):
    text = EXPERIMENT.replace("3_train_network", notebook).replace("protocol: as_published\n", "")
    text = text.replace("model: feedforward, epochs: 10", parameters)
    (study / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"^experiments/study/x.yaml{message}"):
        runs.experiments()


def test_what_a_system_hid_in_the_folders_is_no_experiment_and_no_input_of_the_report(study, tmp_path, monkeypatch):
    known = runs.experiments()
    (study.parent / ".hidden").mkdir()
    for hidden in (study / "._small.yaml", study.parent / ".hidden" / "small.yaml", study / ".small.yaml"):
        hidden.write_bytes(b"\0\5\x16\7\0")
    assert runs.experiments() == known
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "fer_lib" / "report").mkdir(parents=True)
    for place in ("fer_lib/._main.py", "fer_lib/report/.DS_Store", "notebooks/._x.ipynb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    (tmp_path / "fer_lib" / "seen.py").write_bytes(b"")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(paths, "CLAIMS", tmp_path / "claims")
    names = [line.split("  ")[1] for line in make.report_inputs("smoke").splitlines()]
    assert names == ["experiments/study/small.yaml", "fer_lib/seen.py"]


def test_a_milestone_of_nothing_and_a_name_with_braces_are_refused(study):
    (study / "x.yaml").write_text("{title: X, where: '', reported: {}, milestone_of: study/nosuch}")
    with pytest.raises(
        ValueError, match="study/x.yaml, milestone_of: found 'study/nosuch', expected the name of an exp"
    ):
        runs.experiments()
    (study / "x.yaml").write_text("{title: X, where: '', reported: {}, milestone_of: study/small}")
    assert runs.experiments()["study/x"]["milestone_of"] == "study/small"
    (study / "x.yaml").rename(study / "x {y}.yaml")
    with pytest.raises(ValueError, match="found ' ' in its name or its folder's, expected letters, digits"):
        runs.experiments()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "no JSON"), ("[]", "something else"), ('{"cells": []}', "something else"),
        (PLAIN_CELL % "x = y", "something else"), (PLAIN_CELL % "x = (", "something else"),
    ],
)  # fmt: skip
def test_a_notebook_without_parameters_is_named(text, found, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(ValueError, match=f"x.ipynb.*: found {found}"):
        notebooks.defaults("x")
    (tmp_path / "x.ipynb").write_text(PLAIN_CELL % "x = 1")
    assert notebooks.defaults("x") == {"x": 1}


def test_only_names_that_exist(study):
    assert names(plan.wanted("smoke", only="smal")) == ["study/small seed 0"]
    assert len(plan.wanted("smoke", seeds=4)) == 4
    with pytest.raises(
        ValueError, match="ONLY: no experiment's name contains 'smell', expected study/small, or a part of it"
    ):
        plan.wanted("smoke", only="smell")


@pytest.mark.parametrize("only", [",", " ", ", ,"])
def test_commas_ask_for_nothing_and_are_refused(only):
    with pytest.raises(ValueError, match=f"ONLY: found '{only}', expected parts of experiments' names; correct it"):
        plan.wanted("smoke", only=only)
    assert plan.wanted("smoke", only="table1_feedforward, ,") == plan.wanted("smoke", only="table1_feedforward")


def test_a_whole_name_means_just_itself():
    assert names(plan.wanted("full", seeds=1, only="saravanan2019/table1_decision_tree")) == [
        "saravanan2019/table1_decision_tree seed 0"
    ]
    assert len(plan.wanted("full", seeds=1, only="decision_tree")) == 2


def test_a_milestone_is_had_by_the_run_that_it_belongs_to():
    wanted = names(plan.wanted("full", seeds=2, only="table1_proposed_cnn"))
    assert wanted == [f"saravanan2019/table5_rmsprop_64 seed {seed}" for seed in (0, 1)]


def test_one_run_makes_one_record_and_is_not_missing_any_more(study):
    assert names(plan.missing(plan.wanted("smoke"))) == ["study/small seed 0"]
    folder = runs.execute("study/small", 0, "smoke")
    record = records.read(folder)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    assert folder == paths.RESULTS / "local" / "smoke" / "runs" / "study" / "small" / f"{backend}-seed0"
    assert record["experiment"] == "study/small"
    assert record["backend"] == backend
    assert record["parameters"]["loss"] == "clipped"
    assert record["parameters"]["epochs"] == 2
    assert record["parameter_count"] == 1_446_407
    assert record["data"]["sha256"] == load_faces("drawn_faces").sha256
    assert len(record["history"]) == 2
    assert len(records.predictions(record)["ids"]) == 350
    assert sorted(path.name for path in folder.iterdir()) == sorted(records.FILES)
    assert not runs.run("study/small", 0, "smoke").unfinished.exists()
    log = (folder / "run.ipynb").read_text()
    assert str(paths.ROOT) + "/" not in log
    assert "epoch   2/2" in log and "widgets" not in json.loads(log)["metadata"]
    assert plan.missing(plan.wanted("smoke")) == []
    assert names(plan.missing(plan.wanted("smoke"), force=True)) == ["study/small seed 0"]
    content = yaml.safe_load((study / "small.yaml").read_text())
    content["parameters"] |= {"mixing": "mixup", "augmentation": "geometry", "ema": 0.9, "views": "flip"}
    content["parameters"] |= {"kept_epoch": "last", "input_scale": "0..1"}  # other parameters: no longer current
    (study / "small.yaml").write_text(yaml.safe_dump(content))
    assert names(plan.missing(plan.wanted("smoke"))) == ["study/small seed 0"]
    record = records.read(runs.execute("study/small", 0, "smoke"))
    records.check(record)
    assert record["metrics"]["views"]["epoch"] == 2
    looks = [records.row_predictions(record, kept, "PrivateTest")["probabilities"] for kept in ("last", "views")]
    assert not np.array_equal(*looks)


def test_what_a_run_leaves_names_no_folder_of_the_machine():
    text = (
        f'File "/opt/x/.venv/lib/python3.12/site-packages/tqdm/auto.py", {paths.ROOT}/fer_lib/runs.py, {Path.home()}/y'
    )
    assert notebooks._anonymous(text) == 'File "site-packages/tqdm/auto.py", fer_lib/runs.py, ~/y'
    link = "https://example.org/lib/site-packages/tqdm"
    assert notebooks._anonymous(link) == link
    folder = re.compile(r"(?<![\w:/.])/(?:home|root|opt|usr|tmp|mnt|work|content|Users)/")
    committed = [*paths.RESULTS.glob("runs/*/*/*/*.ipynb"), *paths.RESULTS.glob("*.html"), *paths.RESULTS.glob("*.md")]
    assert len(committed) > 40 and [path for path in committed if folder.search(path.read_text())] == []


def test_a_failing_run_tells_its_cell_and_leaves_the_old_record(study):
    content = yaml.safe_load((study / "small.yaml").read_text())
    content["parameters"]["model_options"] = {"no_such_option": 1}
    (study / "small.yaml").write_text(yaml.safe_dump(content))
    run = runs.run("study/small", 0, "smoke")
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.json").write_text("the old record")
    with pytest.raises(RuntimeError, match="study/small seed 0 failed: cell .*no_such_option"):
        runs.execute("study/small", 0, "smoke")
    assert [path.name for path in run.folder.iterdir()] == ["metrics.json"]
    assert (run.folder / "metrics.json").read_text() == "the old record"
    failure = json.loads((run.unfinished / "failure.json").read_text())
    assert "loop.train" in failure["source"]
    (sentence,) = plan.failures([run])
    assert "model_options: found 'no_such_option'" in sentence


def test_an_unknown_experiment_is_refused(study):
    with pytest.raises(ValueError, match="no experiment is called 'study/smal', expected study/small"):
        runs.execute("study/smal", 0, "full")  # the name comes before the data


@pytest.fixture
def made(study, monkeypatch):
    """One experiment with a made-up record of its seed 0 at full, on made-up faces that are here; its run."""
    (study.parent / "saravanan2019").mkdir()
    (study / "small.yaml").rename(study.parent / "saravanan2019" / "table1_feedforward.yaml")
    monkeypatch.setattr("fer_lib.data.load_faces", made_up_records.faces)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    run = runs.run("saravanan2019/table1_feedforward", 0, "full")
    make_record(run)
    return run


def make_record(run, **parameters):
    wrong = {"parameters": run.parameters | parameters}
    made_up_records.network(paths.RESULTS, run.seed, lambda y: made_up_records.answers(y, 2), **wrong)


def test_a_record_from_before_a_parameter_existed_stays_current(made):
    path = made.folder / "metrics.json"
    record = json.loads(path.read_text())
    for name in ("rows", "precision"):
        del record["parameters"][name]
    path.write_text(json.dumps(record))
    assert plan.are_current([made]) == [True]
    changed = dataclasses.replace(made, parameters=made.parameters | {"rows": 100})
    assert plan.are_current([changed]) == [False]
    record["parameters"]["no_longer_known"] = 1
    path.write_text(json.dumps(record))
    assert plan.are_current([made]) == [False]


def test_such_a_record_is_pooled_with_newer_ones(made):
    newer = dataclasses.replace(made, seed=1, parameters=made.parameters | {"seed": 1})
    make_record(newer)
    path = made.folder / "metrics.json"
    record = json.loads(path.read_text())
    del record["parameters"]["rows"]
    path.write_text(json.dumps(record))
    (group,) = pooled.groups(records.load(paths.RESULTS), runs.experiments())
    assert [record["seed"] for record in group] == [0, 1]


def test_each_state_is_listed(made, monkeypatch):
    wanted = plan.wanted("full", seeds=5)
    make_record(wanted[1], epochs=3)
    wanted[2].unfinished.mkdir(parents=True)
    (wanted[2].unfinished / "failure.json").write_text('{"cell": 5, "error": "Boom"}')
    (wanted[3].unfinished / "checkpoint-0004").mkdir(parents=True)
    (wanted[3].unfinished / "checkpoint.partial").mkdir()
    name = "saravanan2019/table1_feedforward seed"
    with system.locked(wanted[4].lock, "it"):
        assert plan.states(wanted) == [
            f"current    {name} 0",
            f"missing    {name} 1  the record there is of other parameters or other data",
            f"failed     {name} 2  cell 5: Boom",
            f"missing    {name} 3  checkpoint after epoch 4 of 10",
            f"under way  {name} 4",
        ]
    monkeypatch.setattr(provenance, "stale", lambda record: ["changed since: fer_lib/training/loop.py"])
    assert plan.states(wanted[:1]) == [f"stale      {name} 0  changed since: fer_lib/training/loop.py"]


QUICK = EXPERIMENT + "quick: {epochs: 2}\n"


def test_quick_is_a_tenth_with_the_experiments_own_cuts_over_it(study):
    (study / "small.yaml").write_text(QUICK)
    quick, full = runs.run("study/small", 0, "quick"), runs.run("study/small", 0, "full")
    assert quick.parameters == full.parameters | {"rows": 2871, "epochs": 2}
    assert quick.folder.is_relative_to(paths.RESULTS / "local" / "quick")
    (study / "small.yaml").write_text(QUICK.replace("epochs: 2", "rows: 500"))
    assert runs.run("study/small", 0, "quick").parameters["rows"] == 500
    (study / "small.yaml").write_text(QUICK.replace("epochs: 2", "epoch: 2"))
    with pytest.raises(ValueError, match="no parameter is called 'epoch'"):
        runs.run("study/small", 0, "quick")


def test_smoke_shows_every_notebook_network_and_data_set_once_and_the_others_when_named():
    smoke, known = plan.wanted("smoke"), runs.experiments()
    ours = [run for run in smoke if run.name.startswith("ours/")]
    assert [run.experiment["notebook"] for run in ours] == ["4_first_steps", "6_live_conditions"]
    assert ours[0].parameters["steps"] == 5 and ours[0].parameters["data"] == "drawn_faces"
    papers = [e for name, e in known.items() if not name.startswith("ours/") and "notebook" in e and "heavy" not in e]
    kinds = [(e["notebook"], e["parameters"].get("model"), e["parameters"]["data"]) for e in papers]
    shown = [run.experiment for run in smoke if run not in ours]
    assert len(shown) == len(set(kinds)) < len(papers)
    assert {(e["notebook"], e["parameters"].get("model"), e["parameters"]["data"]) for e in shown} == set(kinds)
    assert len(plan.wanted("smoke", only="table5")) == 6
    assert names(plan.wanted("smoke", only="filling_wide")) == ["ours/filling_wide seed 0"]


@pytest.mark.parametrize(("gpu", "few", "many"), [(True, 5, 10), (False, 1, 10)])
def test_an_experiment_may_ask_for_seeds(study, monkeypatch, gpu, few, many):
    monkeypatch.setattr(system, "has_gpu", lambda: gpu)
    (study / "small.yaml").write_text(EXPERIMENT + "seeds_cpu: 1\n")
    (study / "twin.yaml").write_text(EXPERIMENT + "seeds: 10\n")
    assert [len(plan.wanted("full", only=name)) for name in ("small", "twin")] == [few, many]
    assert len(plan.wanted("full", seeds=2, only="twin")) == 2
    assert len(plan.wanted("smoke", only="twin")) == len(plan.wanted("quick", only="twin")) == 1


def test_quick_makes_the_papers_rows_once_and_ours_when_named():
    quick = names(plan.wanted("quick"))
    assert quick == names(plan.wanted("quick", seeds=1))
    assert not any(name.startswith("ours/") for name in quick)
    assert any(name.startswith("saravanan2019/table5") for name in quick)
    assert names(plan.wanted("quick", only="feedforward_float32")) == ["ours/feedforward_float32 seed 0"]


def test_runs_on_affectnet_are_planned_where_it_is(tmp_path, monkeypatch, capsys):
    asked = "vorontsov2018/affectnet_eleven_layers"
    for profile in ("quick", "full"):
        assert not any("affectnet" in name for name in names(plan.wanted(profile)))
        both = f"{asked},vorontsov2018/eleven_layers"
        assert list(plan.not_here(profile, both)) == [asked]
        assert names(plan.wanted(profile, 1, both)) == ["vorontsov2018/eleven_layers seed 0"]
        with pytest.raises(FileNotFoundError, match=f"{asked}: AffectNet is not here: its licence .* AFFECTNET=PATH"):
            plan.wanted(profile, only=asked)
    assert {run.parameters["data"] for run in plan.wanted("smoke", only="affectnet")} == {
        "drawn_affectnet", "drawn_affectnet_official",
    }  # fmt: skip
    assert plan.not_here("smoke") == {}
    monkeypatch.setenv("AFFECTNET", str(tmp_path))
    assert names(plan.wanted("full", 1, asked)) == [f"{asked} seed 0"] and plan.not_here("full", asked) == {}


def test_runs_on_ferplus_are_planned_where_it_is():
    asked = "ours/ferplus_distribution"
    with pytest.raises(FileNotFoundError, match=f"{asked}: FER\\+ is not here: get fer2013new.csv"):
        plan.wanted("full", only=asked)
    assert [run.parameters["data"] for run in plan.wanted("smoke", only=asked)] == ["drawn_ferplus_distribution"]
    paths.DATA.mkdir(exist_ok=True)
    (paths.DATA / "fer2013new.csv").touch()
    assert names(plan.wanted("full", 1, asked)) == [f"{asked} seed 0"]


def test_the_precision_asked_for_is_another_run_of_the_same_experiment(study, monkeypatch):
    usual = runs.run("study/small", 0, "full")
    monkeypatch.setenv("PRECISION", "bfloat16")
    other = runs.run("study/small", 0, "full")
    assert (usual.parameters["precision"], other.parameters["precision"]) == ("float32", "bfloat16")
    assert other.place == usual.place.replace("-seed", "-bfloat16-seed")
    assert runs.run("study/small", 0, "full", precision="float32").place == usual.place
    tree = "saravanan2019/table1_decision_tree"
    (study.parent / "saravanan2019").mkdir()
    shutil.copy(paths.ROOT / "experiments" / f"{tree}.yaml", study.parent / f"{tree}.yaml")
    assert runs.run(tree, 0, "full").place == f"{tree}/sklearn-seed0"  # has none to choose
    (study / "small.yaml").write_text(
        (study / "small.yaml").read_text().replace("epochs:", "precision: float32, epochs:")
    )
    assert runs.run("study/small", 0, "full").place == usual.place  # the experiment's own
    monkeypatch.setenv("PRECISION", "float16")
    with pytest.raises(ValueError, match="PRECISION: found .float16., expected one of float32, tensorfloat32"):
        runs.run("study/small", 0, "full")


def test_heavy_runs_are_made_on_a_gpu_or_by_name(study, monkeypatch):
    (study / "large.yaml").write_text(EXPERIMENT + "heavy: true\nsmoke: {batch_size: 8}\nquick: {rows: 99}\n")
    for gpu in (False, True):
        monkeypatch.setattr(system, "has_gpu", lambda gpu=gpu: gpu)
        for profile in runs.PROFILES:
            large = {"study/large"} if gpu and profile in ("full", "copy") else set()
            assert {run.name for run in plan.wanted(profile)} == {"study/small"} | large
            assert {run.name for run in plan.wanted(profile, only="large")} == {"study/large"}
    smoke, quick = (runs.run("study/large", 0, profile).parameters for profile in ("smoke", "quick"))
    assert (smoke["batch_size"], smoke["rows"], quick["batch_size"], quick["rows"]) == (8, 128, 128, 99)


def test_runs_from_pretrained_weights_are_planned_where_these_are(monkeypatch):
    asked = ["vorontsov2018/table1_vgg16", "vorontsov2018/table1_vgg16_scratch"]
    for profile in ("quick", "full"):
        assert names(plan.wanted(profile, 1, "table1_vgg16_scratch,table1_vgg16")) == [f"{asked[1]} seed 0"]
        lacking = plan.not_here(profile, "table1_vgg16,table1_caffenet")
        assert list(lacking) == ["vorontsov2018/table1_vgg16", "vorontsov2018/table1_caffenet"][::-1]
        with pytest.raises(
            FileNotFoundError, match=f"{asked[0]}: pretrained weights are not here: `make weights ONLY=vgg"
        ):
            plan.wanted(profile, only="table1_vgg16")
    smoke = plan.wanted("smoke", only="table1_vgg16")
    assert [run.parameters["weights"] for run in smoke] == [""] and plan.not_here("smoke", "table1_vgg16") == {}
    mine = paths.DATA / "weights" / weights.SOURCES["vgg16"].file
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"")
    assert plan.not_here("full", "table1_vgg16") == {}
    (run,) = plan.wanted("full", 1, "table1_vgg16")
    assert run.parameters["weights"] == "pretrained" and run.parameters["model_options"] == {}


def test_every_large_network_has_its_row_with_and_without_pretraining():
    known = runs.experiments()
    for net in weights.SOURCES:
        pretrained, scratch = (known[f"vorontsov2018/table1_{net}{end}"] for end in ("", "_scratch"))
        assert pretrained["heavy"] and scratch["heavy"]
        assert pretrained["parameters"]["weights"] == "pretrained" and "weights" not in scratch["parameters"]
        assert pretrained["parameters"]["model"] == scratch["parameters"]["model"] == net
        for experiment in (pretrained, scratch):
            smoke = runs.from_experiment(net, experiment, 0, "smoke").parameters
            assert smoke["model_options"]["side"] < 64 and smoke["weights"] == "" and smoke["input_scale"] == "0..255"


def test_hours_of_a_quick_run_are_stated_or_follow_from_its_work(study, monkeypatch):
    monkeypatch.setattr(system, "has_gpu", lambda: False)
    (study / "small.yaml").write_text(QUICK)
    share = 2 * (3 * 2871 + 7178) / (10 * (3 * 28709 + 7178))
    assert plan.hours(runs.run("study/small", 0, "quick")) == pytest.approx(share + plan.START)
    (study / "small.yaml").write_text(QUICK.replace("hours_gpu: 1", "hours_gpu: 1, hours_quick: 0.3"))
    assert plan.hours(runs.run("study/small", 0, "quick")) == pytest.approx(0.3 + plan.START)
    assert plan.hours(runs.run("study/small", 0, "full")) == pytest.approx(1 + plan.START)


@pytest.mark.parametrize(
    ("data", "gpu", "profile", "message"),
    [
        (None, True, "smoke", "Profile smoke, because no FER2013 is here"),
        ("fer2013.csv", True, "full", "Profile full, because FER2013 is here (fer2013.csv) and a GPU"),
        ("archive.zip", True, "copy", "Profile copy, because FER2013 is here (archive.zip) and a GPU"),
        ("fer2013.csv", False, "quick", "PROFILE=full is the papers' protocol: what is missing of it takes about"),
        ("archive.zip", False, "quick", "PROFILE=copy is the papers' protocol: what is missing of it takes about"),
    ],
)  # fmt: skip
def test_data_and_machine_choose_the_profile(made, few_faces, monkeypatch, capsys, data, gpu, profile, message):
    faces = replace(few_faces, source={"official": data == "fer2013.csv"})
    monkeypatch.setattr(make.fer2013, "find", lambda: data and Path(data))
    monkeypatch.setattr("fer_lib.data.load_faces", lambda name: faces)
    monkeypatch.setattr(system, "has_gpu", lambda: gpu)
    assert make.default_profile() == profile
    assert message in capsys.readouterr().out


def test_other_data_than_the_official_never_makes_a_full_run(study, few_faces, monkeypatch):
    source = {"official": False, "file": "archive.zip", "form": "JPEG pictures"}
    monkeypatch.setattr(runs.fer2013, "find", lambda: Path("archive.zip"))
    monkeypatch.setattr("fer_lib.data.load_faces", lambda name: replace(few_faces, source=source))
    with pytest.raises(ValueError, match=r"archive.zip \(JPEG pictures\), which differs; PROFILE=copy makes the same"):
        runs.execute("study/small", 0, "full")
    with pytest.raises(ValueError, match="PROFILE=full is for the official FER2013"):
        make.reproduce("full")
    runs.check_data("copy")
    assert paths.results_folder("copy") != paths.results_folder("full")


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_real_profiles_without_data_say_what_to_do(study, profile):
    with pytest.raises(FileNotFoundError, match=f"PROFILE={profile} needs FER2013: give FER2013=PATH"):
        make.reproduce(profile)


def test_an_unknown_profile_is_refused(study):
    with pytest.raises(ValueError, match="PROFILE: found 'fast', expected one of smoke, quick, full"):
        make.reproduce("fast")


# ---- notebooks below any folder, in any environment


HOME = {"/": "/", "relative": "jo", "empty": "", "unset": None}


@pytest.mark.parametrize("home", HOME.values(), ids=HOME)
def test_a_home_that_is_no_folder_of_ones_own_changes_nothing(home, monkeypatch):
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    text = "see jo and /usr/share/x"
    assert notebooks._anonymous(text) == text


def test_a_home_is_replaced_where_it_is_a_whole_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/jo/")
    for text, expected in {
        "/home/jo": "~", "see /home/jo.": "see ~.", "'/home/jo/x y'": "'~/x y'", "a:/home/jo:b": "a:~:b",
        "\x1b[0;32m/home/jo/x\x1b[0m": "\x1b[0;32m~/x\x1b[0m", r"'a\n/home/jo/x'": r"'a\n~/x'",
        "file:///home/jo/x": "file://~/x",
    }.items():  # fmt: skip
        assert notebooks._anonymous(text) == expected
    for other in ("/home/john", "/home/jo.old/x", "/home/jo-2", "/mnt/home/jo", "~/home/joan"):
        assert notebooks._anonymous(other) == other
    document = {"cells": [{"source": ["/home/jo/a\n", "/home/john\n"], "count": 3, "none": None}]}
    expected = {"cells": [{"source": ["~/a\n", "/home/john\n"], "count": 3, "none": None}]}
    assert notebooks._anonymous(document) == expected


@pytest.mark.parametrize(
    "part",
    ["~", "/", "~/", "/a", "~^", "site-packages/", "/site-packages", "\x1b[", "\x1b[1;", "\\n/", "-/", "/home/jo"],
)
def test_long_texts_take_time_in_proportion(part, monkeypatch):
    """A megabyte each: what tries every way to divide these, or goes back from each place, would not end today."""
    monkeypatch.setenv("HOME", "/home/jo")
    text = f" {part * (2**20 // len(part))}^"
    notebooks._anonymous(text)
    assert notebooks._anonymous(f"{text} /x/site-packages/y").endswith("^ site-packages/y")


PLAIN = '{"cells": [%s, {"cell_type": "code", "execution_count": null, "id": "b", "metadata": {}, "outputs": [], %s}], '
PLAIN += '"metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}, '
PLAIN += '"nbformat": 4, "nbformat_minor": 5}'
PLAIN %= (
    '{"cell_type": "code", "execution_count": null, "id": "a", "metadata": {"tags": ["parameters"]}, "outputs": [], '
    '"source": ["x = 1"]}',
    '"source": ["import os, sys\\n", "print(x + 1, sys.executable, os.getcwd())"]',
)


def test_a_notebook_runs_below_any_folder_and_with_this_interpreter(tmp_path, monkeypatch):
    """Braces are papermill's templates, brackets glob's; and JUPYTER_PATH has another kernel of the same name."""
    root = tmp_path / "clone {x} [y] {}"
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    for folder in (root / "notebooks", kernel):
        folder.mkdir(parents=True)
    (root / "notebooks" / "plain.ipynb").write_text(PLAIN)
    (kernel / "kernel.json").write_text('{"argv": ["false"], "display_name": "Python 3", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "NOTEBOOKS", root / "notebooks")
    output = root / "results" / "run.ipynb"
    assert notebooks.execute("plain", output, {"x": 2}) is None
    assert [path.name for path in sorted(root.rglob("*.ipynb"))] == ["plain.ipynb", "run.ipynb"]
    (printed,) = json.loads(output.read_text())["cells"][-1]["outputs"]
    assert "".join(printed["text"]) == notebooks._anonymous(f"3 {sys.executable} {root}\n")


def test_smoke_asks_for_no_more_rows_than_the_smallest_fold_trains_on():
    known = runs.experiments()
    folded = {name: experiment for name, experiment in known.items() if experiment["parameters"].get("folds")}
    assert folded
    for name, experiment in folded.items():
        parameters = runs.from_experiment(name, experiment, 0, "smoke").parameters
        faces, folds = load_faces(parameters["data"]), parameters["folds"]
        least = min(len(ckplus.folded(faces, fold, folds).rows("Training")) for fold in range(folds))
        assert 0 < parameters["rows"] <= least


def test_a_path_that_leads_nowhere_keeps_out_its_own_experiments_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("CKPLUS", str(tmp_path / "nothing"))
    lacking = plan.not_here("full", "li2018_ckplus,tang2013")
    assert list(lacking) == ["related/li2018_ckplus"]
    assert "found no such file or folder, expected CK+" in lacking["related/li2018_ckplus"]
    with pytest.raises(FileNotFoundError, match="expected CK"):
        plan.wanted("full", only="li2018_ckplus")

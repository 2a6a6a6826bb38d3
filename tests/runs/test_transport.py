"""Records from machine to machine: what is damaged, foreign or forged stays out of here, the rest comes in."""

import io
import json
import re
import shutil
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_records import answers, network

from fer_lib import paths, runs, system
from fer_lib.__main__ import main
from fer_lib.evaluation import records
from fer_lib.runs import transport

NAME = "saravanan2019/table1_feedforward"
EXPERIMENT = """
title: Feed-forward network
where: Table I, row 2
notebook: 3_train_network
protocol: as_published
reported: {}
parameters: {data: fer2013, model: feedforward, epochs: 20}
expect: {hours_cpu: 1, hours_gpu: 1}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """One experiment, and where results are: "there", where they are made. ``move`` goes to another machine."""
    (tmp_path / "experiments" / NAME).parent.mkdir(parents=True)
    (tmp_path / "experiments" / f"{NAME}.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr(paths, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "there")
    return tmp_path


def make(seed: int, wrong_every: int = 2, profile: str = "full", **changes) -> runs.Run:
    """A whole record of made-up answers, where this machine keeps its results."""
    run = runs.run(NAME, seed, profile, "tensorflow")
    results = paths.results_folder(profile)
    parameters = run.parameters | changes.pop("parameters", {})
    network(results, seed, lambda y: answers(y, wrong_every), parameters=parameters, profile=profile, **changes)
    if records.keeps_notebook(seed):
        (run.folder / "run.ipynb").write_text(json.dumps({"cells": []}))
    return run


def make_checkpoint(seed: int, epoch: int) -> runs.Run:
    run = runs.run(NAME, seed, "full", "tensorflow")
    folder = run.unfinished / f"checkpoint-{epoch:04d}"
    folder.mkdir(parents=True)
    protocol = {name: value for name, value in run.parameters.items() if name not in ("data", "seed")}
    identity = {"protocol": protocol, "seed": seed, "data": "5ca1ab1e" * 8, "backend": "tensorflow"}
    (folder / "state.json").write_text(json.dumps({"history": [{}] * epoch, "identity": identity}))
    (folder / "model.weights.h5").write_bytes(bytes([epoch]))
    return run


def pack(archive, folder, sums: bool = True):
    """Everything below a results folder in a tar of our own making: what is wrong in it stays wrong."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    names = [path.relative_to(folder).as_posix() for path in files]
    with tarfile.open(archive, "w") as tar:
        if sums:
            content = "".join(f"{system.file_hash(path)}  {name}\n" for path, name in zip(files, names)).encode()
            head = tarfile.TarInfo(transport.SUMS)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
        for path, name in zip(files, names):
            tar.add(path, name)
    return archive


def contents(folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def test_records_and_checkpoints_arrive_as_they_left(study, monkeypatch, capsys):
    first = make(0)
    (first.folder / records.NETWORK).write_bytes(b"a network that the run kept")
    (first.folder / "._metrics.json").write_bytes(b"what macOS hid there")
    make(1), make_checkpoint(2, 3), make(0, profile="quick")
    archive = study / "out.tar"
    assert main(["export", str(archive), "--checkpoints"]) == 0
    left = {name: content for name, content in contents(study / "there").items() if not name.startswith("local")}
    assert left.pop(f"runs/{first.place}/._metrics.json")
    with tarfile.open(archive) as tar:
        assert tar.getnames() == [transport.SUMS, *left]
        assert {(member.uname, member.uid) for member in tar} == {("", 0)}
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(archive)]) == 0
    assert contents(study / "here") == left
    assert "3 taken, 0 already here, 0 refused" in capsys.readouterr().out
    assert runs.epochs_done(runs.run(NAME, 2, "full", "tensorflow")) == 3
    assert main(["import", str(archive)]) == 0
    assert "0 taken, 3 already here, 0 refused" in capsys.readouterr().out


def make_parts(epochs: dict[str, int], **identity) -> runs.Run:
    """A run that trains several networks and was stopped: each network's checkpoint after so many epochs."""
    run = runs.run(NAME, 0, "full", "tensorflow")
    identity = {"protocol": {"epochs": 5}, "seed": 0, "data": "", "backend": "tensorflow"} | identity
    for part, epoch in epochs.items():
        folder = run.unfinished / f"checkpoint-{part}" / f"checkpoint-{epoch:04d}"
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(json.dumps({"history": [{}] * epoch, "identity": identity}))
        (folder / "model.weights.h5").write_bytes(bytes([epoch]))
    return run


def test_a_run_of_several_networks_goes_on_elsewhere_with_each_of_them(study, monkeypatch, capsys):
    run = make_parts({"scene": 2, "fold-11": 3})
    archive = study / "out.tar"
    assert main(["export", str(archive), "--checkpoints"]) == 0
    left = contents(study / "there")
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    make_parts({"scene": 1})
    assert main(["import", str(archive)]) == 0
    assert contents(study / "here") == left and runs.epochs_done(run) == 5
    assert "2 taken, 0 already here, 0 refused" in capsys.readouterr().out
    assert main(["import", str(archive)]) == 0
    assert "0 taken, 2 already here, 0 refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    "identity, reason", [({"seed": 1}, "found seed 1, expected 0"), ({"backend": "jax"}, "found backend jax")]
)
def test_another_run_s_network_is_refused(study, monkeypatch, capsys, identity, reason):
    make_parts({"faces": 2}, **identity)
    assert main(["export", str(study / "out.tar"), "--checkpoints"]) == 0
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert reason in capsys.readouterr().out and contents(study / "here") == {}


def test_only_and_profile_choose(study, monkeypatch):
    make(0), make(0, profile="quick"), make_checkpoint(2, 3)
    assert main(["export", str(study / "quick.tar"), "--profile", "quick", "--only", "feedforward"]) == 0
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "quick.tar")]) == 0
    assert {name.rpartition("/")[0] for name in contents(study / "here")} == {
        f"local/quick/runs/{NAME}/tensorflow-seed0"
    }


def test_a_record_of_no_experiment_is_left_out_and_named(study, capsys):
    run = make(0)
    run.folder.parent.rename(run.folder.parents[1] / "table9")
    assert main(["export", str(study / "out.tar")]) == 1
    assert (
        "left out   runs/saravanan2019/table9/tensorflow-seed0: no experiment has this name" in capsys.readouterr().out
    )


def test_a_broken_record_is_left_out_and_named(study, capsys):
    (make(0).folder / "run.ipynb").unlink()
    make(1)
    (make(2).folder / "predictions.npz").write_bytes(b"")
    assert main(["export", str(study / "out.tar")]) == 1
    out = capsys.readouterr().out
    assert "seed0: it lacks run.ipynb" in out and "seed2: " in out and "found SHA-256" in out
    with tarfile.open(study / "out.tar") as tar:
        assert len(tar.getnames()) == 3


def test_the_executed_notebook_of_another_seed_than_the_first_stays_here(study, monkeypatch):
    for seed in (0, 1, 10):
        (make(seed).folder / "run.ipynb").write_text('{"cells": []}')
    assert main(["export", str(study / "out.tar")]) == 0
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 0
    assert [name for name in contents(study / "here") if name.endswith("run.ipynb")] == [
        f"runs/{NAME}/tensorflow-seed0/run.ipynb"
    ]


def test_another_record_is_replaced_only_by_force(study, monkeypatch, capsys):
    make(0)
    main(["export", str(study / "out.tar")])
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    other = make(0, wrong_every=3)
    before = contents(study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert "a record with other predictions is here; --force replaces it" in capsys.readouterr().out
    assert contents(study / "here") == before
    assert main(["import", str(study / "out.tar"), "--force"]) == 0
    assert contents(study / "here") == contents(study / "there")
    (other.folder / "predictions.npz").write_bytes(b"broken")  # no record: replaced without being asked
    assert main(["import", str(study / "out.tar")]) == 0
    assert contents(study / "here") == contents(study / "there")


def test_a_run_that_is_under_way_is_left_alone(study, monkeypatch, capsys):
    make(0)
    main(["export", str(study / "out.tar")])
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    with system.locked(runs.run(NAME, 0, "full", "tensorflow").lock, "it"):
        assert main(["import", str(study / "out.tar")]) == 1
    assert "is already under way" in capsys.readouterr().out
    assert not contents(study / "here")


def test_an_arriving_record_ends_what_was_unfinished_here_and_an_older_checkpoint_changes_nothing(study, monkeypatch):
    make(0), make_checkpoint(1, 3)
    main(["export", str(study / "out.tar"), "--checkpoints"])
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    make_checkpoint(0, 5), make_checkpoint(1, 4)
    assert main(["import", str(study / "out.tar")]) == 0
    assert runs.epochs_done(runs.run(NAME, 0, "full", "tensorflow")) == 0
    assert runs.epochs_done(runs.run(NAME, 1, "full", "tensorflow")) == 4


def change(**changes):
    def spoil(folder):
        record = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(record | changes))

    return spoil


def one_more_correct(folder):
    record = json.loads((folder / "metrics.json").read_text())
    record["metrics"]["last"]["PrivateTest"]["correct"] += 1
    (folder / "metrics.json").write_text(json.dumps(record))


def arrays(**changes):
    def spoil(folder):
        record = records.read(folder)
        kept = records.predictions(record)
        changed = kept | {name: change(kept[name]) for name, change in changes.items()}
        del record["folder"]
        np.savez(folder / "predictions.npz", **changed)  # all of them, as records had them before `records.pack`
        record["predictions_sha256"] = system.file_hash(folder / "predictions.npz")
        (folder / "metrics.json").write_text(json.dumps(record))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change(schema=2), "found schema 2, expected 1"),
        (change(experiment="saravanan2019/table9"), "metrics.json says experiment 'saravanan2019/table9', its place"),
        (change(seed=5), "metrics.json says seed 5, its place 0"),
        (change(backend="jax"), "metrics.json says backend 'jax', its place 'tensorflow'"),
        (change(precision="bfloat16"), "metrics.json says precision 'bfloat16', its place 'float32'"),
        (change(profile="quick"), "metrics.json says profile 'quick', its place 'full'"),
        (change(metrics=3), "metrics.json: found metrics 3, expected one that is a mapping"),
        (change(metrics={"last": 3, "best": 3}), "found content of another form"),
        (change(parameters=[]), "metrics.json: found parameters [], expected one that is a mapping"),
        (lambda folder: (folder / "metrics.json").write_text("[]"), "metrics.json: found no record"),
        (lambda folder: (folder / "metrics.json").write_bytes(b"\xff"), "found a byte that is no UTF-8"),
        (lambda folder: (folder / "run.ipynb").write_text("3"), "run.ipynb: found no notebook"),
        (lambda folder: (folder / "run.ipynb").write_text("{"), "run.ipynb, line 1: found no JSON"),
        (change(predictions_sha256="0" * 64), "expected 0000"),
        (one_more_correct, "on PrivateTest (last epoch) they score"),
        (lambda folder: (folder / "metrics.json").write_text("{"), "metrics.json, line 1: found no JSON"),
        (lambda folder: (folder / "run.ipynb").write_text("[]"), "run.ipynb: found no notebook"),
        (lambda folder: (folder / "run.ipynb").unlink(), "run.ipynb"),
        (arrays(labels=lambda labels: labels * 0), "they score"),
        (arrays(split=lambda split: split - 1), "rows of the splits'"),
        (arrays(ids=lambda ids: ids[::-1]), "ids do not ascend"),
        (arrays(ids=lambda ids: ids + 100), "of 420 rows"),
        (arrays(probabilities_best=lambda p: p[:, ::-1]), "classes_best are not the likeliest"),
        (arrays(probabilities_best=lambda p: p / 2), "do not sum to 1"),
        (arrays(classes_last=lambda c: c[:-1]), "classes_last is ("),
    ],
)
def test_a_bad_record_is_refused_with_its_reason_and_the_good_one_goes_in(study, monkeypatch, capsys, spoil, reason):
    good, bad = make(1), make(0)
    spoil(bad.folder)
    archive = pack(study / "out.tar", study / "there")
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(archive)]) == 1
    out = capsys.readouterr().out
    (line,) = re.findall(rf"refused       runs/{bad.place}: (.*)", out)
    assert reason in line and "; " in line  # what to do comes last
    assert {name.rpartition("/")[0] for name in contents(study / "here")} == {f"runs/{good.place}"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epochs": 5}, f"not the parameters of experiments/{NAME}.yaml here: epochs 5, here 20"),
        ({"colour": "red"}, "colour 'red', here None"),
    ],
)  # fmt: skip
def test_other_parameters_are_named(study, monkeypatch, capsys, changes, reason):
    make(0, parameters=changes)
    main(["export", str(study / "out.tar")])
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert reason in capsys.readouterr().out


def test_an_experiment_that_is_not_here_is_refused(study, monkeypatch, capsys):
    make(0)
    main(["export", str(study / "out.tar")])
    (study / "experiments" / f"{NAME}.yaml").rename(study / "experiments" / f"{NAME}_2.yaml")
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert f"no experiment is called '{NAME}'" in capsys.readouterr().out


def test_data_are_compared_where_they_are_here(study, monkeypatch, capsys, few_faces):
    make(0)
    main(["export", str(study / "out.tar")])
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    monkeypatch.setattr("fer_lib.data.load_faces", lambda name: few_faces)
    assert main(["import", str(study / "out.tar")]) == 1
    assert "its data: found SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda state: state["history"].pop(), "state.json: found backend"),
        (lambda state: state["identity"].update(backend="jax"), "state.json: found backend"),
        (lambda state: state["identity"].update(seed=7), "seed 7, here 0"),
        (lambda state: state["identity"]["protocol"].update(epochs=7), "epochs 7, here 20"),
        (lambda state: state.clear(), "state.json: lacks identity, history; pack it again"),
        (lambda state: state.update(history=3), "state.json, history: found 3 (int), expected a list"),
        (lambda state: state.update(identity=[]), "state.json, identity: found [] (list), expected a mapping"),
        (lambda state: state["identity"].pop("protocol"), "state.json: lacks protocol"),
        (
            lambda state: state["identity"].update(seed="0"),
            "state.json, seed: found '0' (str), expected a whole number",
        ),
    ],
)
def test_a_bad_checkpoint_is_refused(study, monkeypatch, capsys, spoil, reason):
    run = make_checkpoint(0, 3)
    path = run.unfinished / "checkpoint-0003" / "state.json"
    state = json.loads(path.read_text())
    spoil(state)
    path.write_text(json.dumps(state))
    main(["export", str(study / "out.tar"), "--checkpoints"])
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert reason in capsys.readouterr().out
    assert not contents(study / "here")


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "/tmp/evil", "runs/../../evil", f"runs/{NAME}/tensorflow-seed0/../metrics.json",
        f"runs/{NAME}/tensorflow-seed0/evil.py", f"runs/../{NAME}/tensorflow-seed0/metrics.json",
        f"local/../runs/{NAME}/tensorflow-seed0/metrics.json", f"runs/{NAME}/tensorflow-seed0/metrics.json\n",
        f"runs/{NAME}/tensorflow-seed0/checkpoint-0001/state.json", "fer_lib/__init__.py",
    ],
)  # fmt: skip
def test_no_name_leads_astray(study, monkeypatch, capsys, name):
    content = b"evil"
    with tarfile.open(study / "out.tar", "w") as tar:
        sums = f"{'0' * 64}  {name}\n".encode()
        for member, text in ((transport.SUMS, sums), (name, content)):
            head = tarfile.TarInfo(member)
            head.size = len(text)
            tar.addfile(head, io.BytesIO(text))
    before = contents(study)
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert "no file of a record or checkpoint" in capsys.readouterr().out
    assert contents(study) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_only_plain_files_come_in(study, monkeypatch, capsys, kind):
    make(0)
    pack(study / "out.tar", study / "there")
    with tarfile.open(study / "out.tar", "a") as tar:
        member = tarfile.TarInfo(f"runs/{NAME}/tensorflow-seed0/metrics.json")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    assert "no file of a record or checkpoint" in capsys.readouterr().out
    assert not contents(study / "here")


def test_a_member_that_is_nearly_all_a_hole_is_not_written(study, monkeypatch, capsys):
    """It is a plain file to tarfile, of a terabyte in half a kilobyte."""
    make(0)
    pack(study / "out.tar", study / "there")
    name = f"runs/{NAME}/tensorflow-seed0/network.keras"
    with tarfile.open(study / "out.tar", "a") as tar:
        member = tarfile.TarInfo(name)
        member.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**12), "GNU.sparse.name": name}
        tar.addfile(member)
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    monkeypatch.setattr(transport.shutil, "copyfileobj", lambda source, out: out.write(source.read(2**20)))
    assert main(["import", str(study / "out.tar")]) == 1
    assert "no file of a record or checkpoint" in capsys.readouterr().out
    assert not contents(study / "here")


def test_a_name_cannot_steer_the_terminal(study, monkeypatch, capsys):
    with tarfile.open(study / "out.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("\x1b]0;evil\x07\x1b[2J\nrefused"))
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(study / "out.tar")]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and len(out.splitlines()) == 2


def test_an_archive_without_checksums_is_refused(study, monkeypatch, capsys):
    make(0)
    archive = pack(study / "out.tar", study / "there", sums=False)
    monkeypatch.setattr(paths, "RESULTS", study / "here")
    assert main(["import", str(archive)]) == 1
    assert "not listed in a SHA256SUMS before it" in capsys.readouterr().out
    assert not contents(study / "here")


def test_what_is_no_tar_or_not_there_is_said(study, capsys):
    (study / "out.tar").write_text("hello")
    assert main(["import", str(study / "out.tar")]) == 1
    assert "no tar, or cut off" in capsys.readouterr().out
    assert main(["import", str(study / "absent.tar")]) == 1
    assert "absent.tar" in capsys.readouterr().err


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_gets_in(study, monkeypatch, data):
    """Cut off or changed in a byte: what is taken is what was sent, and nothing is lost in silence."""
    with monkeypatch.context() as patch:
        patch.setattr(paths, "RESULTS", study / "there")
        if not (study / "out.tar").exists():
            make(0), make(1), make_checkpoint(2, 3)
            main(["export", str(study / "out.tar"), "--checkpoints"])
        sent = contents(study / "there")
        content = bytearray((study / "out.tar").read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[position:]
        else:
            content[position] ^= 1 << data.draw(st.integers(0, 7))
        (study / "damaged.tar").write_bytes(content)
        shutil.rmtree(study / "here", ignore_errors=True)
        patch.setattr(paths, "RESULTS", study / "here")
        code = main(["import", str(study / "damaged.tar")])
        arrived = contents(study / "here")
        assert arrived.items() <= sent.items()
        assert code == 1 or arrived == sent
        for folder in {name.rpartition("/")[0] for name in arrived if name.startswith("runs/")}:
            records.check(records.read(study / "here" / folder))


def test_predictions_are_compared_not_their_compression(study, monkeypatch, capsys):
    run = make(0)
    main(["export", str(study / "out.tar")])
    record = records.read(run.folder)
    kept = records.predictions(record)
    np.savez(run.folder / "predictions.npz", **kept)
    del record["folder"]
    record["predictions_sha256"] = system.file_hash(run.folder / "predictions.npz")
    (run.folder / "metrics.json").write_text(json.dumps(record))
    assert main(["import", str(study / "out.tar")]) == 0
    assert "1 already here" in capsys.readouterr().out

"""The cross-data table: a network on data sets that it was not made for, emotions matched by name or refused."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from fer_lib import __main__
from fer_lib.data import Faces, affectnet, array_hash
from fer_lib.data.emotions import AFFECTNET, EIGHT, FER2013, mapping
from fer_lib.evaluation import crossdata
from fer_lib.models import pretrained


def faces(name, emotions, side=48):
    """Ten rows of each part in turn, whose grey level is the emotion's place in ``EIGHT`` times 20."""
    labels = np.arange(30, dtype=np.uint8) % len(emotions)
    images = np.broadcast_to((mapping(emotions, EIGHT)[labels] * 20 + 10)[:, None, None], (30, side, side))
    images, split = images.astype(np.uint8), np.repeat(np.arange(3, dtype=np.uint8), 10)
    ids = np.arange(30, dtype=np.int32)
    return Faces(images, labels, split, ids, name, array_hash(images, labels, split), {"file": "made up"}, emotions)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    known = {"seven": faces("seven", FER2013), "eight": faces("eight", EIGHT), "other": faces("other", AFFECTNET[:7])}
    monkeypatch.setattr("fer_lib.data.load_faces", known.__getitem__)
    return known


def network(path, order, side=48, channels=1, scale=1 / 255):
    """A file of a network that predicts by grey level alone, its outputs in this order."""
    levels = (mapping(order, EIGHT) * 20 + 10) * scale
    inputs = keras.Input((side, side, channels))
    mean = layers.GlobalAveragePooling2D()(layers.AveragePooling2D(side)(inputs))
    dense = layers.Dense(len(order), name="logits")
    model = keras.Model(inputs, dense(mean))
    # the nearest level wins: -(x - a)^2 is 2ax - a^2 but for what all have in common
    dense.set_weights([np.tile(2 * levels, (channels, 1)) / channels, -(levels**2)])
    model.save(path)
    return str(path)


def test_emotions_are_matched_by_name_whatever_the_order(tmp_path):
    for order, name in ((FER2013, "fer2013"), (AFFECTNET[:7], "affectnet7")):
        found = crossdata.score(network(tmp_path / f"{name}.keras", order), ["seven", "other"], name)
        assert [(row["data"], row["part"], row["n"]) for row in found["rows"]] == [
            (data, part, 10) for data in ("seven", "other") for part in ("PublicTest", "PrivateTest")
        ]
        assert all(row["accuracy"] == row["balanced_accuracy"] == 1 for row in found["rows"])
        assert found["rows"][0]["interval"] == pytest.approx([0.7225, 1.0], abs=1e-4)
    wrong = crossdata.score(str(tmp_path / "affectnet7.keras"), ["seven"], "fer2013")
    assert wrong["rows"][0]["accuracy"] < 0.3  # the silent bug: right outputs read in a wrong order


def test_labels_without_a_counterpart_are_refused_or_left_out_by_name(tmp_path):
    file = network(tmp_path / "x.keras", FER2013)
    with pytest.raises(ValueError, match="eight: labels: found contempt, which have no counterpart"):
        crossdata.score(file, ["seven", "eight"])
    found = crossdata.score(file, ["seven", "eight"], leave_out=("contempt",))
    assert [(row["n"], row["left_out"]) for row in found["rows"]] == [(10, 0), (10, 0), (9, 1), (9, 1)]
    assert "contempt" not in found["rows"][2]["recall"]
    with pytest.raises(ValueError, match="leave out: found 'joy'"):
        crossdata.score(file, ["seven"], leave_out=("joy",))


def test_predictions_that_the_data_does_not_have_are_wrong_and_counted(tmp_path, loaded):
    file = network(tmp_path / "x.keras", EIGHT)
    assert all(row["accuracy"] == 1 for row in crossdata.score(file, ["seven", "eight"], "eight")["rows"])
    loaded["seven"].images[10:] = 7 * 20 + 10
    (public, _) = crossdata.score(file, ["seven"], "eight")["rows"]
    assert (public["accuracy"], public["other_answers"]) == (0, 10)
    assert "10 predictions" not in crossdata.markdown(
        {"network": "x", "outputs": EIGHT, "rows": [public | {"other_answers": 0}]}
    )
    assert "10 predictions were emotions" in crossdata.markdown({"network": "x", "outputs": EIGHT, "rows": [public]})


def test_larger_coloured_and_unscaled_inputs_are_served(tmp_path):
    file = network(tmp_path / "x.keras", FER2013, 64, 3, 1.0)
    assert all(row["accuracy"] == 1 for row in crossdata.score(file, ["seven"], input_scale="0..255")["rows"])
    with pytest.raises(ValueError, match="input scale: found 'standardised', expected one of 0..255, 0..1"):
        crossdata.score(file, ["seven"], input_scale="standardised")


def test_affectnet_is_loaded_as_the_network_wants_it(tmp_path, monkeypatch):
    file, asked = network(tmp_path / "x.keras", FER2013, 32, 3), []

    def load(**options):
        asked.append(options)
        few = faces("affectnet_official", FER2013, 32)
        return Faces(np.repeat(few.images[..., None], 3, axis=3), few.labels, few.split, few.ids, few.name, "", {})

    monkeypatch.setattr(affectnet, "load", load)
    (row, _) = crossdata.score(file, ["affectnet_official"])["rows"]
    assert row["accuracy"] == 1 and asked == [{"side": 32, "colour": True, "tests": "official"}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "found no such file, expected a network saved by Keras 3"),
        (lambda path: path.mkdir(), "x.keras: found a folder, expected a network saved by Keras 3"),
        (lambda path: os.mkfifo(path), "x.keras: found a pipe or device, expected a network saved by Keras 3"),
        (
            lambda path: path.write_bytes(b"no network"),
            "x.keras: found no ZIP archive, or a part of one, expected a .k",
        ),
        (lambda path: path.write_bytes(b""), "x.keras: found an empty file, expected a .keras file, which model.save"),
        (
            lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
            "x.keras: found a file of Keras 2, expected a .keras file",
        ),
        (
            lambda path: path.write_bytes(b"PK\5\6" + bytes(18)),  # an archive of nothing
            r"x.keras: found what Keras cannot load in safe mode \((?!.*(network.keras|/tmp\w+/network))",
        ),
        (
            lambda path: network(path, EIGHT),
            r"found an output of \(None, 8\), expected \(None, 7\); say outputs, one of",
        ),
        (lambda path: network(path, FER2013, 48, 2), r"found an input of \(None, 48, 48, 2\), expected"),
    ],
)
def test_what_is_no_network_for_faces_is_refused(tmp_path, make, message):
    make(tmp_path / "x.keras")
    with pytest.raises((ValueError, OSError), match=message):
        crossdata.score(str(tmp_path / "x.keras"), ["seven"])


def test_weights_or_predictions_that_are_no_numbers_are_refused(tmp_path):
    """Such a network predicts angry for every face, or whatever is first."""
    inputs = keras.Input((48, 48, 1))
    relu = layers.Conv2D(4, 3, activation="relu", name="hidden")
    model = keras.Model(inputs, layers.Dense(7)(layers.Flatten()(relu(inputs))))
    weights = model.get_weights()
    model.set_weights([np.full_like(weights[0], np.nan), *weights[1:]])
    model.save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="x.keras: found NaN or infinite weights in hidden/kernel, expected finite"):
        crossdata.score(str(tmp_path / "x.keras"), ["seven"])
    model.set_weights([np.full_like(array, 1e30) for array in weights])
    model.save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="x.keras: found 20 of 20 predictions with NaN or infinite numbers.*--input-"):
        crossdata.score(str(tmp_path / "x.keras"), ["seven"])


def test_a_network_is_known_by_its_ending_in_any_case(tmp_path):
    network(tmp_path / "x.keras", FER2013)
    (tmp_path / "x.keras").rename(tmp_path / "X.KERAS")
    assert crossdata.score(str(tmp_path / "X.KERAS"), ["seven"])["rows"][0]["accuracy"] == 1


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ok.h5", "a file of Keras 2"), ("OK.H5", "a file of Keras 2"), ("x.onnx", "an ONNX network"),
        ("x.tflite", "a LiteRT network"), ("x.pth", "a file of PyTorch"), ("saved", "a SavedModel"),
        ("folder", "a folder"),
    ],
)  # fmt: skip
def test_a_network_of_another_form_is_told_how_to_be_saved(tmp_path, name, found):
    if name in ("saved", "folder"):
        (tmp_path / name).mkdir()
    if name == "saved":
        (tmp_path / name / "saved_model.pb").touch()
    elif name != "folder":
        (tmp_path / name).write_bytes(b"\x89HDF")
    expected = f"{name}: found {found}, expected a .keras file, which model.save of Keras 3 writes; load it"
    with pytest.raises(ValueError, match=expected):
        crossdata.score(str(tmp_path / name), ["seven"])


def test_a_damaged_network_is_a_value_error(tmp_path, monkeypatch):
    """Whatever bytes are missing or others: it is refused, or scored."""
    content, rng = Path(network(tmp_path / "x.keras", FER2013)).read_bytes(), np.random.default_rng(0)
    damaged = [content[:cut] for cut in rng.choice(len(content), 10)]
    for place in rng.choice(len(content), 30, replace=False):
        damaged.append(content[:place] + bytes(rng.integers(0, 256, 3, np.uint8)) + content[place + 3 :])
    refused = 0
    for each in damaged:
        (tmp_path / "x.keras").write_bytes(each)
        try:
            crossdata.score(str(tmp_path / "x.keras"), ["seven"])
        except ValueError as error:
            assert re.match(r".*x.keras: found .*, expected ", str(error))
            refused += 1
    assert refused > 20


def test_a_network_that_carries_code_is_not_run(tmp_path):
    model = keras.Sequential([keras.Input((48, 48, 1)), layers.Lambda(lambda x: x), layers.Flatten(), layers.Dense(7)])
    model.save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="cannot load in safe mode"):
        crossdata.score(str(tmp_path / "x.keras"), ["seven"])


def test_predictions_are_scored_on_their_rows(tmp_path, loaded):
    data = loaded["other"]
    loaded["other"] = Faces(data.images, data.labels, data.split, data.ids, "other", "", {}, AFFECTNET[:7])
    lines = [f"{row},{FER2013[mapping(AFFECTNET[:7], FER2013)[data.labels[row]]]}" for row in range(10, 20)]
    (tmp_path / "a.csv").write_text("\n".join(["row,emotion", *lines]) + "\n")
    (row,) = crossdata.score(str(tmp_path / "a.csv"), ["other"])["rows"]
    assert (row["part"], row["n"], row["accuracy"]) == ("PublicTest", 10, 1)
    with pytest.raises(ValueError, match="a.csv: found 2 data sets, expected one"):
        crossdata.score(str(tmp_path / "a.csv"), ["other", "seven"])


def test_the_command_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    file, into = network(tmp_path / "x.keras", FER2013), tmp_path / "figures.json"
    assert __main__.main(["cross", file, "seven", "eight", "--leave-out", "contempt", "--json", str(into)]) == 0
    printed = capsys.readouterr().out
    assert "| seven | PublicTest" in printed and "It is not known which rows it was trained on" in printed
    assert len(json.loads(into.read_text())["rows"]) == 4
    assert __main__.main(["cross", file, "eight"]) == 1
    assert "error: eight: labels: found contempt" in capsys.readouterr().err


def test_a_network_with_a_layer_of_ours_is_read_where_nothing_has_loaded_it(tmp_path):
    stack = [keras.Input((48, 48, 1)), pretrained.LocalResponseNormalization(), layers.Flatten(), layers.Dense(7)]
    keras.Sequential(stack).save(tmp_path / "x.keras")
    code = "import sys; from pathlib import Path; from fer_lib.evaluation import crossdata as c; "
    code += "c._model(Path(sys.argv[1]), 'fer2013')"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.keras"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def rewritten(path: Path, change) -> Path:
    """A network's file whose description was changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = json.dumps(change(json.loads(parts["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def calling(module: str, name: str, key: str = "class_name"):
    """Puts the name of something to be called into a layer's place."""

    def change(config: dict) -> dict:
        layer = config["config"]["layers"][1]
        layer.update({"module": module, key: name, "registered_name": name, "config": {"args": ["touch", "made"]}})
        return config

    return change


CALLED = {
    "a function of a module": calling("os", "system"),
    "a class of a module": calling("subprocess", "Popen"),
    "a name of Python's own": calling("builtins", "eval"),
    "a function of Keras that fetches": calling("keras.utils", "get_file"),
}


@pytest.mark.parametrize("change", CALLED.values(), ids=CALLED)
def test_nothing_that_a_network_names_is_called(tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    called = []
    monkeypatch.setattr(os, "system", called.append)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: called.append(a))
    monkeypatch.setattr(keras.utils, "get_file", lambda *a, **k: called.append(a))
    path = rewritten(Path(network(tmp_path / "x.keras", FER2013)), change)
    with pytest.raises(ValueError, match="x.keras: found what Keras cannot load in safe mode"):
        crossdata.score(str(path), ["seven"])
    assert called == [] and not (tmp_path / "made").exists()


def test_code_in_a_layer_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = keras.Input((48, 48, 1))
    outputs = layers.Dense(7)(layers.Flatten()(layers.Lambda(lambda x: (open("made", "w"), x)[1])(inputs)))
    keras.Model(inputs, outputs).save(tmp_path / "x.keras")
    (made := Path("made")).unlink()  # building it ran it
    with pytest.raises(ValueError, match="x.keras: found what Keras cannot load in safe mode"):
        crossdata.score(str(tmp_path / "x.keras"), ["seven"])
    assert not made.exists()


def test_a_network_that_unpacks_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("model.weights.h5", "w") as file:
            for _ in range(100):
                file.write(bytes(2**20))
    with pytest.raises(
        ValueError, match="x.keras: found .* bytes that unpack to 104,857,600 or more, expected at most"
    ):
        crossdata.score(str(tmp_path / "x.keras"), ["seven"])

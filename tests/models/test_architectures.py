"""What the networks are made of. The figures of the proposed CNN were counted by hand from Table IV."""

import json

import keras
import pytest

from fer_lib import models, paths
from fer_lib.models import architectures
from fer_lib.report import figures

PROPOSED_CNN = [  # shape, weights of every layer that has some
    ([48, 48, 64], 640), ([46, 46, 64], 36_928), ([23, 23, 128], 73_856), ([21, 21, 128], 147_584),
    ([21, 21, 256], 295_168), ([19, 19, 256], 590_080), ([1024], 21_234_688), ([7], 7_175),
]  # fmt: skip


def test_layers_of_the_proposed_cnn():
    found = architectures.layers(models.build("proposed_cnn"))
    assert [(layer["shape"], layer["parameters"]) for layer in found if layer["parameters"]] == PROPOSED_CNN
    assert sum(layer["parameters"] for layer in found) == 22_386_119
    assert found[0]["multiply_adds"] == 48 * 48 * 9 * 64
    assert found[-1]["multiply_adds"] == 1024 * 7
    assert [found[k]["details"] for k in (0, 2, 3)] == ["3×3, same, ReLU", "2×2", "0.25"]


def test_the_proposed_cnn_costs_94_3_tflop_an_epoch_less_the_gradient_that_nobody_needs():
    of_the_pixels = 2 * 48 * 48 * 9 * 64
    counted = architectures.training_flop(architectures.layers(models.build("proposed_cnn")))
    assert round((counted + of_the_pixels) * 28_709 / 1e12, 1) == 94.3


def test_operations_are_counted_layer_by_layer():
    convolution, dense = 2 * 46 * 46 * 9 * 1 * 5, 2 * 46 * 46 * 5 * 7
    stack = [keras.Input((48, 48, 1)), keras.layers.Conv2D(5, 3), keras.layers.Flatten(), keras.layers.Dense(7)]
    flop = 2 * convolution + 3 * dense
    assert architectures.training_flop(architectures.layers(keras.Sequential(stack))) == flop
    stack.insert(2, keras.layers.BatchNormalization())  # next to nothing beside the others
    assert architectures.training_flop(architectures.layers(keras.Sequential(stack))) == flop
    assert architectures.training_flop([]) == 0
    strange = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.SeparableConv2D(4, 3)])
    with pytest.raises(ValueError, match="found a SeparableConv2D, expected Conv2D or Dense"):
        architectures.layers(strange)


def test_the_committed_layers_are_those_that_keras_builds():
    file = json.loads((paths.RESULTS / "architectures.json").read_text())
    assert file["sources"] == architectures._sources(), "the builders have changed: `make report` reads them anew"
    kept = file["architectures"]
    assert set(architectures.PAPERS) <= set(kept)
    for name in architectures.PAPERS:
        assert kept[name] == architectures.layers(models.build(name))


def run_of(model: str, **options) -> dict:
    return {"profile": "full", "parameters": {"model": model, "model_options": options}}


def test_what_is_kept_is_read_and_what_is_missing_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    first = architectures.load([])
    assert list(first) == list(architectures.PAPERS)
    text = (tmp_path / "architectures.json").read_text()
    assert json.loads(text)["architectures"] == first

    built = []
    build = models.build
    monkeypatch.setattr(models, "build", lambda name, options=None: built.append(name) or build(name, options))
    assert architectures.load([]) == first and built == []

    found = architectures.load([run_of("eleven_layers", width=8), run_of("gone"), run_of("")])
    assert built == ["eleven_layers", "gone"]
    assert found.keys() - first.keys() == {"eleven_layers(width=8)"}
    assert found["eleven_layers(width=8)"][0]["shape"] == [48, 48, 8]
    assert json.loads((tmp_path / "architectures.json").read_text())["architectures"] == found

    before = (tmp_path / "architectures.json").read_text()
    small = architectures.load([run_of("eleven_layers", width=4) | {"profile": "smoke"}])
    assert small["eleven_layers(width=4)"][0]["shape"] == [48, 48, 4] and small["proposed_cnn"] == first["proposed_cnn"]
    assert (tmp_path / "architectures.json").read_text() == before  # git watches it; what git ignores goes elsewhere
    mine = json.loads((tmp_path / "local" / "architectures.json").read_text())["architectures"]
    assert list(mine) == ["eleven_layers(width=4)"]

    (tmp_path / "architectures.json").write_text(text.replace('"sources": "', '"sources": "x'))
    built.clear()
    assert architectures.load([]) == first and len(built) == 4  # the builders have changed: all anew
    assert (tmp_path / "architectures.json").read_text() == text


def test_a_network_is_drawn_with_every_layer_and_described_in_words():
    layers = architectures.layers(models.build("proposed_cnn"))
    figure = figures.network(layers, "Proposed CNN")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("Convolution 3×3, valid, ReLU") == 3 and words.count("21,234,688") == 1
    assert len(figure.axes[0].patches) == len(layers) + 1
    text = figures.network_in_words(layers, "Proposed CNN")
    assert text.startswith("Proposed CNN, from 48×48×1 grey levels: Convolution 3×3, same, ReLU: 48×48×64; ")
    assert text.endswith("Dense: 7.")

"""The networks of related work: sizes, the pooling by chance against its definition, weights that are given."""

import keras
import numpy as np
import pytest

from fer_lib import models, paths
from fer_lib.models import architectures, related, weights

SIZES = {
    "mollahosseini": 7_795_503, "alexnet": 23_319_239, "yu_zhang": 6_073_351, "tang": 3_238_823, "bkvgg12": 3_468_007,
    "kahou": 1_440_519, "tandem": 810_704,
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_each_is_built_as_its_docstring_counts_it(name):
    network = models.build(name)
    assert network.count_params() == SIZES[name]
    assert f"{SIZES[name]:,}" in " ".join(getattr(related, name).__doc__.split())
    assert network.input_shape == (None, 48, 48, 1)
    assert network.output_shape == (None, 8 if name == "tandem" else 7)
    assert architectures.training_flop(architectures.layers(network)) > 0


def outputs(network, kind: type) -> list[tuple]:
    return [layer.output.shape[1:] for layer in network.layers if type(layer) is kind]


def test_four_inception_modules_have_googlenets_widths():
    network = models.build("mollahosseini")
    assert outputs(network, keras.layers.Concatenate) == [(6, 6, 256), (6, 6, 480), (3, 3, 512), (3, 3, 512)]
    assert [units[0] for units in outputs(network, keras.layers.Dense)] == [4096, 1024, 7]


def test_alexnet_at_48_pixels_halves_them_to_two():
    assert outputs(models.build("alexnet"), keras.layers.MaxPooling2D) == [(6, 6, 96), (3, 3, 256), (2, 2, 256)]


def test_yu_and_zhangs_network_pools_by_chance_three_times():
    network = models.build("yu_zhang")
    assert outputs(network, related.StochasticPooling) == [(24, 24, 64), (12, 12, 64), (6, 6, 128)]
    assert [shape[-1] for shape in outputs(network, keras.layers.Conv2D)] == [64, 64, 64, 128, 128]


def test_tangs_and_sangs_networks_look_at_42_pixels():
    for name in ("tang", "bkvgg12"):
        assert models.build(name).layers[0].output.shape[1:] == (42, 42, 1)
    widths = [shape[-1] for shape in outputs(models.build("bkvgg12"), keras.layers.Conv2D)]
    assert widths == [32, 32, 64, 64, 128, 128, 256, 256, 256]
    assert outputs(models.build("tang"), keras.layers.AveragePooling2D) == [(10, 10, 32), (4, 4, 64)]


def pooled(x: np.ndarray, size: int, strides: int, one) -> np.ndarray:
    """Pooling by its definition: ``one`` (windows' values (n, size², c)) -> (n, c), on zero-padded windows."""
    n, side, _, channels = x.shape
    steps = -(-side // strides)
    over = max(0, (steps - 1) * strides + size - side)
    padded = np.pad(x, [(0, 0), (over // 2, over - over // 2), (over // 2, over - over // 2), (0, 0)])
    places = [(i * strides, j * strides) for i in range(steps) for j in range(steps)]
    windows = [padded[:, i : i + size, j : j + size].reshape(n, -1, channels) for i, j in places]
    return np.stack([one(window) for window in windows], axis=1).reshape(n, steps, steps, channels)


GEOMETRIES = [(7, 3, 2), (8, 3, 2), (8, 2, 2), (9, 3, 3), (6, 3, 1), (48, 3, 2)]


@pytest.mark.parametrize(("side", "size", "strides"), GEOMETRIES)
def test_at_test_pooling_by_chance_gives_what_it_gives_on_average(side, size, strides):
    x = np.maximum(np.random.default_rng(0).normal(size=(2, side, side, 3)), 0).astype(np.float32)
    x[0, :4, :4] = 0  # windows of zeros give 0
    found = keras.ops.convert_to_numpy(related.StochasticPooling(size, strides)(x))
    total = pooled(x, size, strides, lambda window: window.sum(axis=1))
    squares = pooled(x, size, strides, lambda window: (window**2).sum(axis=1))
    np.testing.assert_allclose(found, squares / np.maximum(total, 1e-12), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("side", "size", "strides"), GEOMETRIES[:5])
def test_in_training_pooling_by_chance_takes_a_value_as_often_as_it_is_large(side, size, strides):
    x = np.maximum(np.random.default_rng(1).normal(size=(1, side, side, 2)), 0).astype(np.float32)
    many = np.repeat(x, 4000, axis=0)
    found = keras.ops.convert_to_numpy(related.StochasticPooling(size, strides)(many, training=True))
    steps = found.shape[1]
    over = max(0, (steps - 1) * strides + size - side)
    padded = np.pad(x[0], [(over // 2, over - over // 2)] * 2 + [(0, 0)])
    for i in range(steps):
        for j in range(steps):
            for c in range(2):
                window = padded[i * strides : i * strides + size, j * strides : j * strides + size, c].ravel()
                chosen = found[:, i, j, c]
                for value in np.unique(window):
                    share = np.isclose(chosen, value, atol=1e-6).mean()
                    expected = window[np.isclose(window, value)].sum() / window.sum() if window.sum() else 1.0
                    assert share == pytest.approx(expected, abs=0.05)


def test_the_gradient_of_pooling_by_chance_goes_to_the_chosen_value_alone():
    from fer_lib.training import backends

    layer = related.StochasticPooling()
    layer.build((1, 6, 6, 1))
    x = np.random.default_rng(2).uniform(0.1, 1, (1, 6, 6, 1)).astype(np.float32)
    state = layer.seed_generator.state
    begin = keras.ops.convert_to_numpy(state.value)

    def total(weights):
        values, _ = layer.stateless_call([], [begin], weights[0], training=True)
        return keras.ops.sum(values), values

    (value, values), gradients = backends.value_and_gradient(total)([keras.ops.convert_to_tensor(x)])
    gradient = keras.ops.convert_to_numpy(gradients[0])
    assert gradient.sum() == pytest.approx(9)  # nine windows, one value of each
    assert float((gradient * x).sum()) == pytest.approx(float(value), rel=1e-5)


def test_pooling_by_chance_is_loaded_again_as_it_was(tmp_path):
    network = keras.Sequential([keras.Input((9, 9, 1)), related.StochasticPooling(2, 3)])
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert (again.layers[0].pool_size, again.layers[0].strides) == (2, 3)


def test_the_recurrence_begins_as_the_identity():
    network = related.irnn(5, 12, 7)
    cell = network.layers[1]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(cell.cell.recurrent_kernel), np.eye(7))
    kernel = keras.ops.convert_to_numpy(cell.cell.kernel)
    assert 0.0005 < kernel.std() < 0.0015
    shown = np.abs(np.random.default_rng(0).normal(size=(3, 5, 12))).astype(np.float32)
    upto = keras.Model(network.inputs, cell.output)
    expected = np.zeros((3, 7))
    for t in range(5):  # h = relu(W x + h)
        expected = np.maximum(shown[:, t] @ kernel + expected, 0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(upto(shown)), expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Where a user puts weights, and DeepID's first layer for there."""
    monkeypatch.setattr(paths, "DATA", tmp_path)
    (tmp_path / "weights").mkdir()
    rng = np.random.default_rng(3)
    arrays = {"deepid_1/0": rng.normal(size=(4, 4, 1, 20)), "deepid_1/1": rng.normal(size=20)}
    return tmp_path / "weights" / "deepid.npz", {name: array.astype(np.float32) for name, array in arrays.items()}


def test_given_weights_go_into_the_layers_that_they_name(given):
    path, arrays = given
    np.savez(path, **arrays)
    network = models.build("tandem")
    before = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    facts = weights.load(network, "tandem")
    assert facts["file"] == "deepid.npz"
    for layer in network.layers:
        for number, array in enumerate(layer.get_weights()):
            expected = arrays.get(f"{layer.name}/{number}", before[layer.name][number])
            np.testing.assert_array_equal(array, expected)


def test_without_them_it_says_that_nobody_publishes_them(given):
    with pytest.raises(FileNotFoundError, match="nobody publishes them; put your own into .*deepid.npz"):
        weights.load(models.build("tandem"), "tandem")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"deepid_9/0": np.zeros(3)}, "'deepid_9/0'"),
        ({"deepid_1/5": np.zeros(3)}, "'deepid_1/5'"),
        ({"nonsense": np.zeros(3)}, "'nonsense'"),
        ({"deepid_1/1": np.zeros(21)}, r"layer deepid_1: found shapes .*\(21,\)"),
        ({"deepid_1/1": np.full(20, np.nan)}, "NaN or infinite"),
    ],
)
def test_given_weights_that_do_not_fit_are_refused(given, change, found):
    path, arrays = given
    np.savez(path, **arrays | change)
    with pytest.raises(ValueError, match=found) as error:
        weights.load(models.build("tandem"), "tandem")
    assert "deepid.npz" in str(error.value)
    np.savez(path)
    with pytest.raises(ValueError, match="found no array"):
        weights.load(models.build("tandem"), "tandem")

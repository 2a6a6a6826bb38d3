"""The five networks of Vorontsov and Averkin's Table 1: sizes, what becomes of pixels, training, files."""

import cv2
import keras
import numpy as np
import pytest
from made_up_weights import original

from fer_lib import models
from fer_lib.models import pretrained
from fer_lib.training import losses

SMALL = {"googlenet": 32, "caffenet": 63, "vgg16": 32, "resnet152": 32, "vgg_face": 32}


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("googlenet", {"batch_normalisation": False}, 6_998_552),  # the paper's
        ("googlenet", {}, 6_624_904 + 14_560),  # torchvision's, and means and variances, which it does not count
        ("caffenet", {}, 60_965_224),
        ("vgg16", {}, 138_357_544),
        ("resnet152", {}, 60_419_944),
        ("vgg_face", {}, 145_002_878),
    ],
)
def test_parameters_with_the_head_that_the_owners_shipped(name, options, parameters):
    with keras.StatelessScope(initialize_variables=False):  # half a gigabyte of weights that nobody looks at
        assert original(name, **options).count_params() == parameters
    keras.utils.clear_session()


def shown(pixels: np.ndarray, side: int) -> np.ndarray:
    """Faces (n, 48, 48, 1) enlarged by OpenCV, (n, side, side, 3)."""
    large = [cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR) for face in pixels[..., 0]]
    return np.repeat(np.stack(large)[..., None], 3, axis=-1)


def prepared(name: str, pixels: np.ndarray) -> np.ndarray:
    """(n, side, side, 3) of 0 to 255, as the owners' own programs prepare them for their weights."""
    if name == "googlenet":  # torchvision: shifted and scaled as usual there, then as ``transform_input`` undoes it
        mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        x = (pixels / 255 - mean) / deviation
        return x * (deviation / 0.5) + (mean - 0.5) / 0.5
    if name in ("vgg16", "resnet152"):
        return keras.applications.vgg16.preprocess_input(pixels.astype(np.float32).copy())
    red_first = {"caffenet": (122.67891434, 116.66876762, 104.00698793), "vgg_face": (129.1863, 104.7624, 93.594)}
    return (pixels - np.array(red_first[name]))[..., ::-1]


@pytest.mark.parametrize("name", SMALL)
def test_pixels_are_enlarged_and_prepared_as_the_weights_want_them(name, monkeypatch):
    stages = []
    monkeypatch.setattr(pretrained, f"_{name}", lambda x, *options: x)  # the stage alone, without what follows
    monkeypatch.setattr(pretrained, "_network", lambda pixels, x, name: stages.append(keras.Model(pixels, x)))
    for side in (SMALL[name], 96):
        models.build(name, {"side": side})
        pixels = np.random.default_rng(0).uniform(0, 255, (3, 48, 48, 1)).astype(np.float32)
        found = keras.ops.convert_to_numpy(stages.pop()(pixels))
        assert found.shape == (3, side, side, 3) and found.dtype == np.float32
        np.testing.assert_allclose(found, prepared(name, shown(pixels, side)), atol=0.02)
    with pytest.raises(ValueError, match="model_options: found side 16, expected "):
        models.build(name, {"side": 16})


def test_the_stage_stays_exact_under_mixed_precision(monkeypatch):
    monkeypatch.setattr(pretrained, "_vgg16", lambda x: keras.layers.Flatten()(x))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = models.build("vgg16", {"side": 48})
    finally:
        keras.config.set_dtype_policy("float32")
    stage = keras.Model(network.input, network.get_layer("centred").output)
    pixels = np.full((1, 48, 48, 1), 201.5, np.float32)
    found = keras.ops.convert_to_numpy(stage(pixels))
    assert found.dtype == np.float32  # bfloat16 would round to 97.5
    np.testing.assert_allclose(found[0, 0, 0], 201.5 - np.array([103.939, 116.779, 123.68]), rtol=1e-5)
    assert keras.backend.standardize_dtype(network.output.dtype) == "float32"


def test_neighbouring_channels_hold_each_other_down():
    x = np.random.default_rng(0).normal(0, 300, (2, 3, 3, 7)).astype(np.float32)
    layer = pretrained.LocalResponseNormalization()
    expected = np.empty_like(x)
    for k in range(7):
        near = (x[..., max(0, k - 2) : k + 3].astype(np.float64) ** 2).sum(axis=-1)
        expected[..., k] = x[..., k] / (1 + 1e-4 / 5 * near) ** 0.75
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), expected, rtol=1e-5)
    assert np.abs(expected / x).min() < 0.2


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("side", [5, 6, 13, 14])
def test_the_last_window_of_a_pooling_may_stand_over_the_edge(size, side):
    x = np.random.default_rng(0).normal(size=(1, side, side, 1)).astype(np.float32)
    inputs = keras.Input((side, side, 1))
    found = keras.ops.convert_to_numpy(keras.Model(inputs, pretrained._pool(inputs, size, "pool"))(x))[0, ..., 0]
    starts = range(0, 2 * -(-(side - size) // 2) + 1, 2)
    expected = [[x[0, r : r + size, c : c + size].max() for c in starts] for r in starts]
    np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_network_trains_a_step_and_comes_back_from_its_file(name, tmp_path):
    network = models.build(name, {"side": SMALL[name]})
    assert network.input_shape == (None, 48, 48, 1) and network.output_shape == (None, 7)
    rng = np.random.default_rng(0)
    pixels, labels = rng.uniform(0, 255, (8, 48, 48, 1)).astype(np.float32), np.arange(8) % 7
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    watched = [first.kernel, network.get_layer("logits").kernel]
    before = [keras.ops.convert_to_numpy(array).copy() for array in watched]
    network.compile(keras.optimizers.SGD(1e-3, momentum=0.9), losses.loss_function("logits"))
    assert np.isfinite(network.train_on_batch(pixels, labels))
    for array, old in zip(watched, before):
        assert (keras.ops.convert_to_numpy(array) != old).any()
    logits = keras.ops.convert_to_numpy(network(pixels, training=False))
    assert np.isfinite(logits).all() and (logits[0] != logits[1]).any()
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras", compile=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(pixels, training=False)), logits)
    keras.utils.clear_session()

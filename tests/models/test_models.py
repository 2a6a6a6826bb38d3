"""Architectures against the figures that the papers' code prints."""

import keras
import numpy as np
import pytest

from fer_lib import models
from fer_lib.models import architectures, modern


@pytest.mark.parametrize(
    ("name", "parameters"), [("feedforward", 1_446_407), ("simple_cnn", 3_984_775), ("proposed_cnn", 22_386_119)]
)
def test_parameter_counts_are_the_published_ones(name, parameters):
    model = models.build(name)
    assert model.count_params() == parameters
    assert model.input_shape == (None, 48, 48, 1)
    assert model.output_shape == (None, 7)


def test_proposed_cnn_has_the_shapes_of_the_released_notebook():
    model = models.build("proposed_cnn")
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [64, 64, 128, 128, 256, 256]
    assert [layer.padding for layer in convolutions] == ["same", "valid"] * 3
    assert next(layer for layer in model.layers if isinstance(layer, keras.layers.Flatten)).output.shape == (
        None,
        20736,
    )
    dense = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    assert float(dense.kernel_regularizer.l2) == pytest.approx(0.001)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.25, 0.25, 0.5]


def test_logits_are_not_squashed_and_stay_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build("feedforward")
        out = model(np.full((2, 48, 48, 1), 255, np.float32))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    assert np.abs(keras.ops.convert_to_numpy(out)).sum(axis=1).max() > 1.5


def test_the_eleven_layers_are_four_convolutions_each_pooled_and_three_dense():
    model = models.build("eleven_layers")
    assert model.count_params() == 3_276_551
    kinds = [keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.Dense]
    found = [layer for layer in model.layers if type(layer) in kinds]
    assert [type(layer) for layer in found] == [*kinds[:2] * 4, *kinds[2:] * 3]
    assert [layer.filters for layer in found[:8:2]] == [32, 64, 128, 256]
    assert [layer.output.shape[1] for layer in found[1:8:2]] == [24, 12, 6, 3]
    assert [layer.units for layer in found[8:]] == [1024, 512, 7]


def test_vgg13_is_that_of_the_released_code():
    model = models.build("vgg13")
    assert model.count_params() == 8_757_704
    assert model.output_shape == (None, 8)
    assert models.build("vgg13", {"classes": 7}).output_shape == (None, 7)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [64] * 2 + [128] * 2 + [256] * 6
    assert [layer.output.shape[1] for layer in convolutions] == [64] * 2 + [32] * 2 + [16] * 3 + [8] * 3


def test_what_a_paper_leaves_open_is_an_option():
    options = {"width": 8, "kernel": 5, "dense": 64, "dropout": 0.25, "batch_normalisation": True}
    model = models.build("eleven_layers", options)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert first.filters == 8
    assert first.kernel_size == (5, 5)
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) == 4
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.25, 0.25]
    with pytest.raises(ValueError, match="model_options: found 'depth' for eleven_layers, expected one of width, ker"):
        models.build("eleven_layers", {"depth": 8})
    with pytest.raises(ValueError, match="model_options: found 'width' for simple_cnn, expected none"):
        models.build("simple_cnn", {"width": 8})


def test_the_wide_cnn_is_shallow_and_as_large_as_the_proposed_one():
    deep, wide = models.build("proposed_cnn").count_params(), models.build("wide_cnn")
    assert wide.count_params() == 22_389_271
    assert [layer.units for layer in wide.layers if isinstance(layer, keras.layers.Dense)] == [722, 7]
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in wide.layers) == 2
    a_unit = 22 * 22 * 64 + 1 + 7
    assert abs(wide.count_params() - deep) < a_unit / 2  # one unit fewer, or more, is further off


def test_dropout_of_the_proposed_cnn_is_an_option():
    model = models.build("proposed_cnn", {"dropout": 0.4, "dense_dropout": 0.7})
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.4, 0.4, 0.7]
    assert model.count_params() == 22_386_119


def test_the_small_vgg_is_small():
    model = models.build("small_vgg")
    assert model.count_params() == 418_087
    found = architectures.layers(model)
    assert sum(layer["multiply_adds"] for layer in found) == 40_477_568
    assert [layer["shape"][0] for layer in found if layer["kind"] == "Conv2D"] == [48, 24, 12, 12, 6, 6]


@pytest.mark.parametrize(("name", "parameters", "millions"), [("vgg", 4_693_575, 325), ("resnet18", 11_180_871, 866)])
def test_our_deeper_networks_are_as_large_as_they_say(name, parameters, millions):
    with keras.StatelessScope(initialize_variables=False):  # no weight is sampled
        model = models.build(name)
        found = architectures.layers(model)
    assert model.count_params() == parameters
    assert round(sum(layer["multiply_adds"] for layer in found) / 1e6) == millions
    assert model.input_shape == (None, 48, 48, 1) and model.output_shape == (None, 7)
    said = getattr(modern, name).__doc__
    assert f"{parameters:,} parameters, {millions} million multiply-adds" in " ".join(said.split())


def test_the_vgg_has_four_blocks_and_the_resnet_four_stages_with_three_fitted_inputs():
    vgg, resnet = (models.build(name, {"width": 2, "side": 40}) for name in ("vgg", "resnet18"))
    found = [layer for layer in architectures.layers(vgg) if layer["kind"] == "Conv2D"]
    assert [layer["shape"] for layer in found] == [
        [side, side, 2 * times] for side, times in ((40, 1), (20, 2), (10, 4), (5, 8)) for _ in range(2)
    ]
    convolutions = [layer for layer in resnet.layers if isinstance(layer, keras.layers.Conv2D)]
    # With stride 2 their gradient would write past its memory, in TensorFlow 2.21 and at fewer than 16 filters.
    assert [layer.strides for layer in convolutions if layer.kernel_size == (1, 1)] == [(1, 1)] * 3
    assert [layer.filters for layer in convolutions if layer.kernel_size == (3, 3)] == [2] * 5 + [4] * 4 + [8] * 4 + [
        16
    ] * 4
    assert sum(isinstance(layer, keras.layers.Add) for layer in resnet.layers) == 8
    for model in (vgg, resnet):
        assert not any(layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
        assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.2]


@pytest.mark.parametrize("name", ["vgg", "resnet18"])
def test_our_deeper_networks_look_at_the_middle_of_a_face(name):
    model = models.build(name, {"width": 2})
    faces = np.random.default_rng(0).uniform(size=(2, 48, 48, 1)).astype(np.float32)
    framed, touched = np.full_like(faces, 9), faces.copy()
    framed[:, 4:44, 4:44] = faces[:, 4:44, 4:44]
    touched[:, 4, 43] += 9
    whole, of_framed, of_touched = (keras.ops.convert_to_numpy(model(x)) for x in (faces, framed, touched))
    np.testing.assert_array_equal(whole, of_framed)
    assert (whole != of_touched).any()


@pytest.mark.parametrize("name", ["vgg", "resnet18"])
def test_our_deeper_networks_give_float32_logits_under_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build(name, {"width": 2})
        out = model(np.zeros((1, 48, 48, 1), np.float32))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    inner = [layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert set(inner) == {"bfloat16"}


def test_width_of_the_proposed_cnn_scales_all_its_layers():
    model = models.build("proposed_cnn", {"width": 16})
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [16, 16, 32, 32, 64, 64]
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [256, 7]
    assert model.output_shape == (None, 7)


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(ValueError, match=r"model: found 'simplecnn', expected one of feedforward, simple_cnn"):
        models.build("simplecnn")


def test_the_layer_with_weights_that_are_no_numbers_is_named():
    network = models.build("feedforward")
    models.check_finite(network, "x.keras", "train it again")
    for wrong in (np.nan, np.inf):
        bias = network.layers[-1].bias
        bias.assign(np.full(bias.shape, wrong, np.float32))
        with pytest.raises(ValueError, match="x.keras: found NaN or infinite weights in .*logits/bias, expected"):
            models.check_finite(network, "x.keras", "train it again")

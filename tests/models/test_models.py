"""Architectures against the figures that the papers' code prints."""

import keras
import numpy as np
import pytest

from fer_lib import models
from fer_lib.models import architectures


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

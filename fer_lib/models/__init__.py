"""Network builders: one module for each paper or family, one function for each architecture."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING

from ..files import refused

if TYPE_CHECKING:
    import keras

ARCHITECTURES = {
    "feedforward": "saravanan2019",
    "simple_cnn": "saravanan2019",
    "proposed_cnn": "saravanan2019",
    "wide_cnn": "saravanan2019",
    "eleven_layers": "vorontsov2018",
    "vgg13": "barsoum2016",
    "small_vgg": "modern",
    "vgg": "modern",
    "resnet18": "modern",
    "googlenet": "pretrained",
    "caffenet": "pretrained",
    "vgg16": "pretrained",
    "resnet152": "pretrained",
    "vgg_face": "pretrained",
    "mollahosseini": "related",
    "alexnet": "related",
    "yu_zhang": "related",
    "tang": "related",
    "bkvgg12": "related",
    "kahou": "related",
    "tandem": "related",
}
"""The module of each builder. It is imported only to build: Keras and its backend take seconds to start."""
TAKE_0_TO_255 = ("googlenet", "caffenet", "vgg16", "resnet152", "vgg_face")
"""Networks whose own input stage shifts and scales pixels, and needs them unscaled."""


def build(name: str, options: dict | None = None) -> keras.Model:
    """Build an architecture by name: (n, 48, 48, 1) grey levels in, (n, 7) float32 logits out (8 of those for FER+).

    ``options`` are arguments of its builder. Raises ValueError for an unknown name, and for an option that the builder
    does not have.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"model: found {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    builder, options = getattr(import_module(f"{__name__}.{ARCHITECTURES[name]}"), name), options or {}
    known = inspect.signature(builder).parameters
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none: this architecture is wholly published"
            raise ValueError(f"model_options: found {option!r} for {name}, expected {expected}")
    return builder(**options)


def sequential(name: str, stack: list[keras.Layer], classes: int = 7) -> keras.Model:
    """A network as ``build`` returns it: the faces, a ``stack`` of layers, and logits in float32 at any precision."""
    import keras

    head = keras.layers.Dense(classes, dtype="float32", name="logits")
    return keras.Sequential([keras.Input((48, 48, 1)), *stack, head], name=name)


def check_finite(network: keras.Model, place: object, then: str) -> None:
    """Raise ValueError naming the first layer that has a weight that is NaN or infinite.

    Predictions do not tell: oneDNN's ReLU makes 0 of NaN, and the network predicts one emotion for every face.
    """
    from keras import ops

    for variable in network.weights:
        if not bool(ops.all(ops.isfinite(ops.cast(variable.value, "float32")))):
            raise refused(place, f"NaN or infinite weights in {variable.path}", "finite ones", then)

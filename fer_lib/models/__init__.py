"""Network builders: one module a paper or family, one function an architecture."""

import inspect

import keras

from . import barsoum2016, modern, pretrained, saravanan2019, vorontsov2018

ARCHITECTURES = {
    "feedforward": saravanan2019.feedforward,
    "simple_cnn": saravanan2019.simple_cnn,
    "proposed_cnn": saravanan2019.proposed_cnn,
    "wide_cnn": saravanan2019.wide_cnn,
    "eleven_layers": vorontsov2018.eleven_layers,
    "vgg13": barsoum2016.vgg13,
    "small_vgg": modern.small_vgg,
    "googlenet": pretrained.googlenet,
    "caffenet": pretrained.caffenet,
    "vgg16": pretrained.vgg16,
    "resnet152": pretrained.resnet152,
    "vgg_face": pretrained.vgg_face,
}
TAKE_0_TO_255 = ("googlenet", "caffenet", "vgg16", "resnet152", "vgg_face")
"""Networks whose own input stage shifts and scales pixels, and wants them as they are."""


def build(name: str, options: dict | None = None) -> keras.Model:
    """Build an architecture by name: (n, 48, 48, 1) grey levels in, (n, 7) float32 logits out (8 of those for FER+).

    ``options`` are arguments of its builder. Raises ValueError for a name that no builder bears, and for an option
    that the builder does not have.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"model: found {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    builder, options = ARCHITECTURES[name], options or {}
    known = inspect.signature(builder).parameters
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none: this architecture is wholly published"
            raise ValueError(f"model_options: found {option!r} for {name}, expected {expected}")
    return builder(**options)

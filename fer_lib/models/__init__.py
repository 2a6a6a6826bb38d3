"""Network builders: one module a paper or family, one function an architecture."""

import keras

from . import saravanan2019

ARCHITECTURES = {
    "feedforward": saravanan2019.feedforward,
    "simple_cnn": saravanan2019.simple_cnn,
    "proposed_cnn": saravanan2019.proposed_cnn,
}


def build(name: str) -> keras.Model:
    """Build an architecture by name: (n, 48, 48, 1) grey levels in, (n, 7) float32 logits out.

    Raises ValueError for a name that no builder bears.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"model: found {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]()

"""Pictures of networks, drawn from the layers that Keras built (``fer_lib.models.architectures``)."""

from __future__ import annotations

import math

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .figures import BLUE, GREEN, GREY, ORANGE, THEME, canvas

COLOURS = {"Conv2D": BLUE, "Dense": GREEN, "MaxPooling2D": ORANGE}
NAMES = {"Conv2D": "Convolution", "MaxPooling2D": "Max pooling", "BatchNormalization": "Batch normalisation"}


@rc_context(THEME)
def network(layers: list[dict], title: str) -> Figure:
    """A network from its input down (Saravanan et al. 2019, Fig. 3): a block for each layer, wider for more channels.

    Right of it the shape that it gives, its weights, and its share of the multiply-adds.
    """
    figure, axes = canvas(4.9, 0.8 + 0.23 * (len(layers) + 1))
    axes.set(xlim=(0, 10), ylim=(len(layers) + 0.6, -1.6))
    axes.set_axis_off()
    axes.set_title(title)
    for x, head in ((5.8, "output"), (8.0, "weights"), (10.0, "multiply-adds")):
        axes.text(x, -1.1, head, ha="right" if x > 6 else "center", va="center", color=GREY, fontsize=8)
    total = sum(layer["multiply_adds"] for layer in layers) or 1
    for place, layer in enumerate([{"kind": "Input", "details": "", "shape": [48, 48, 1]}, *layers]):
        kind, shape = layer["kind"], layer["shape"]
        width = 3.1 + 1.4 * min(1.0, math.log2(max(shape[-1], 2)) / 15)
        colour = COLOURS.get(kind, "0.6")
        block = FancyBboxPatch((2.3 - width / 2, place - 0.38), width, 0.76, boxstyle="round,pad=0,rounding_size=0.15",
                               fc=colour, ec="none", alpha=0.25 if kind in COLOURS else 0.18)  # fmt: skip
        axes.add_patch(block)
        axes.text(2.3, place, label(layer), ha="center", va="center", fontsize=8)
        axes.text(5.8, place, "×".join(f"{side:,}" for side in shape), ha="center", va="center", fontsize=8)
        if layer.get("parameters"):
            axes.text(8.0, place, f"{layer['parameters']:,}", ha="right", va="center", fontsize=8)
        if layer.get("multiply_adds"):
            said = f"{100 * layer['multiply_adds'] / total:.1f} %"
            axes.text(10.0, place, said, ha="right", va="center", fontsize=8)
    return figure


def label(layer: dict) -> str:
    """A layer in a few words: "Convolution 3×3, same, ReLU"."""
    name = NAMES.get(layer["kind"], layer["kind"])
    return f"{name} {layer['details']}".strip() if layer["kind"] != "Dense" else ", ".join(
        filter(None, [name, layer["details"]]))  # fmt: skip


def in_words(layers: list[dict], title: str) -> str:
    """The same picture for who cannot see it."""
    said = [f"{label(layer)}: {'×'.join(map(str, layer['shape']))}" for layer in layers]
    return f"{title}, from 48×48×1 grey levels: {'; '.join(said)}."

"""The network of Vorontsov and Averkin 2018 (GRID 2018, CEUR vol. 2267, pp. 342-345, section 2).

All that the paper says about it: eleven layers, "4 consecutive blocks of a convolutional layer and a pooling layer and
3 fully connected layers". Widths, kernels, activations, dropout and everything about the training are left open, so
they are arguments here. The defaults are one plain filling, chosen before any result was seen, in the style of Keras'
own examples of the time.
"""

import keras
from keras import layers

from . import sequential


def eleven_layers(
    width: int = 32, kernel: int = 3, dense: int = 1024, dropout: float = 0.5, batch_normalisation: bool = False
) -> keras.Model:
    """The eleven-layer network: 3,276,551 parameters as filled in here.

    ``width``: filters of the first convolution, doubled in each block; ``kernel``: side of every convolution, padded
    ("same"); each pooling halves the side (48, 24, 12, 6, 3). ``dense``: units of the first fully connected layer, the
    second has half; ``dropout`` (0 to 1) follows both. ``batch_normalisation`` goes between convolution and ReLU.

    (n, 48, 48, 1) float32 in, (n, 7) float32 logits out.
    """
    stack = []
    for block in range(4):
        stack.append(layers.Conv2D(width * 2**block, kernel, padding="same"))
        if batch_normalisation:
            stack.append(layers.BatchNormalization())
        stack += [layers.ReLU(), layers.MaxPooling2D()]
    stack.append(layers.Flatten())
    for units in (dense, dense // 2):
        stack += [layers.Dense(units, activation="relu"), layers.Dropout(dropout)]
    return sequential("eleven_layers", stack)

"""Our own networks, from neither paper: batch normalisation, average pooling, few weights.

(n, 48, 48, 1) float32 in, (n, 7) float32 logits out, as everywhere in ``fer_lib.models``.
"""

import keras
from keras import layers

from . import sequential


def small_vgg(width: int = 32, dropout: float = 0.2) -> keras.Model:
    """A narrow VGG (Simonyan and Zisserman 2015) with batch normalisation: 418,087 parameters, 40 million
    multiply-adds.

    Six 3x3 convolutions of ``width`` times 1, 2, 3, 3, 4 and 4 filters; the first, second and fourth are pooled (48,
    24, 12, 6), before the normalisation, which then has a quarter of the values to process. The last 6x6 are averaged;
    ``dropout`` (0 to 1) comes before the dense layer. It computes a 13th of the proposed CNN's operations.
    """
    stack = []
    for times, pooled in ((1, True), (2, True), (3, False), (3, True), (4, False), (4, False)):
        stack.append(layers.Conv2D(width * times, 3, padding="same", use_bias=False, kernel_initializer="he_normal"))
        stack += [layers.MaxPooling2D()] if pooled else []
        stack += [layers.BatchNormalization(), layers.ReLU()]
    stack += [layers.GlobalAveragePooling2D(), layers.Dropout(dropout)]
    return sequential("small_vgg", stack)

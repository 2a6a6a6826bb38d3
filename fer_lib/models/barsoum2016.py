"""The network of Barsoum, Zhang, Canton Ferrer and Zhang 2016 (arXiv 1608.01041), as their released code builds it
(github.com/microsoft/FERPlus, src/models.py)."""

import keras
from keras import layers

from . import sequential


def vgg13(classes: int = 8) -> keras.Model:
    """VGG-13 for FER+: ten convolutions and three dense layers, 8,757,704 parameters with eight ``classes``.

    It works on faces of 64 x 64 pixels; those of 48 x 48 are enlarged here by bilinear interpolation. Dropout of 0.25
    follows each pooling, dropout of 0.5 the dense layers. (n, 48, 48, 1) float32 in, (n, classes) float32 logits out.
    """
    stack = [layers.Resizing(64, 64)]
    for filters, convolutions in ((64, 2), (128, 2), (256, 3), (256, 3)):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(convolutions)]
        stack += [layers.MaxPooling2D(), layers.Dropout(0.25)]
    stack.append(layers.Flatten())
    for _ in range(2):
        stack += [layers.Dense(1024, activation="relu"), layers.Dropout(0.5)]
    return sequential("vgg13", stack, classes)

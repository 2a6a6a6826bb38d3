"""The models of Saravanan, Perichetla and Gayathri 2019 (arXiv 1910.05602), as their released notebooks build them.

Each network takes (n, 48, 48, 1) float32 grey levels and gives (n, 7) float32 *logits*: the softmax that the papers
draw as the last layer belongs to the loss here (``training.losses``), because the form of the loss at saturated outputs
is a factor of this study. Initialisation is Keras' default, then and now: Glorot uniform with zero biases. The last
layer stays in float32 under mixed precision. The decision tree, which needs no Keras, is ``training.tree``.
"""

import keras
from keras import layers

from . import sequential


def feedforward() -> keras.Model:
    """The feed-forward network of Table II: 1,446,407 parameters.

    The paper's text puts dropout 0.2 on the input and the hidden layer and counts a single hidden layer; the released
    notebook, followed here, has two dense layers of 512 with dropout 0.2 after each and none on the input.
    """
    stack = [layers.Flatten()]
    for _ in range(2):
        stack += [layers.Dense(512, activation="relu"), layers.Dropout(0.2)]
    return sequential("feedforward", stack)


def simple_cnn() -> keras.Model:
    """The simple CNN of Table III: 3,984,775 parameters. Dropout rates 0.25 and 0.5 are the released notebook's."""
    return _two_convolutions("simple_cnn", 128)


def wide_cnn() -> keras.Model:
    """The simple CNN with a dense layer of 722 instead of 128: 22,389,271 parameters, 0.014 % above the proposed CNN's.

    Section IV.C.4 says that a wide and shallow network of that size memorises; the paper builds none. 721 would be
    0.124 % below.
    """
    return _two_convolutions("wide_cnn", 722)


def _two_convolutions(name: str, dense: int) -> keras.Model:
    stack = [_conv(32), _conv(64), layers.MaxPooling2D(), layers.Dropout(0.25), layers.Flatten()]
    return sequential(name, [*stack, layers.Dense(dense, activation="relu"), layers.Dropout(0.5)])


def proposed_cnn(dropout: float = 0.25, dense_dropout: float = 0.5, width: int = 64) -> keras.Model:
    """The proposed CNN of Table IV: 22,386,119 parameters.

    The paper does not say which convolutions are padded; in the released notebook the first of each pair is (``same``),
    the second is not (``valid``), which leaves 20,736 features after the last pooling. The defaults of ``dropout`` (0
    to 1, after each pooling) and ``dense_dropout`` (after the dense layer) are the notebook's; other values test their
    effect on overfitting. ``width``: filters of the first convolution, which all other layers follow in proportion.
    """
    stack = [_conv(width, "same"), _conv(width), layers.MaxPooling2D(), layers.Dropout(dropout)]
    for filters in (2 * width, 4 * width):
        stack += [_conv(filters, "same"), _conv(filters)]
    stack.append(layers.MaxPooling2D())
    stack += [layers.Dropout(dropout), layers.Flatten()]
    stack.append(layers.Dense(16 * width, activation="relu", kernel_regularizer=keras.regularizers.L2(0.001)))
    return sequential("proposed_cnn", [*stack, layers.Dropout(dense_dropout)])


def _conv(filters: int, padding: str = "valid") -> keras.Layer:
    return layers.Conv2D(filters, 3, padding=padding, activation="relu")

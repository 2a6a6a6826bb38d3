"""The models of Saravanan, Perichetla and Gayathri 2019 (arXiv 1910.05602), as their released notebooks build them.

Each network takes (n, 48, 48, 1) float32 grey levels and gives (n, 7) float32 *logits*: the softmax that the papers
draw as the last layer belongs to the loss here (``training.py``), because the form of the loss at saturated outputs
is a factor of this study. Initialisation is Keras' default of then and now, Glorot uniform with zero biases.
The last layer stays in float32 under mixed precision. The decision tree, which needs no Keras, is ``fer_lib.trees``.
"""

import keras
from keras import layers

INPUT_SHAPE = (48, 48, 1)
CLASSES = 7


def _conv(filters: int, padding: str = "valid") -> keras.Layer:
    return layers.Conv2D(filters, 3, padding=padding, activation="relu")


def _logits() -> keras.Layer:
    return layers.Dense(CLASSES, dtype="float32", name="logits")


def feedforward() -> keras.Model:
    """The feed-forward network of Table II: 1,446,407 parameters.

    The paper's text puts dropout 0.2 on the input and the hidden layer and counts a single hidden layer; the released
    notebook, followed here, has two dense layers of 512 with dropout 0.2 after each and none on the input.
    """
    return keras.Sequential(
        [
            keras.Input(INPUT_SHAPE),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            _logits(),
        ],
        name="feedforward",
    )


def simple_cnn() -> keras.Model:
    """The simple CNN of Table III: 3,984,775 parameters. Dropout rates 0.25 and 0.5 are the released notebook's."""
    return keras.Sequential(
        [
            keras.Input(INPUT_SHAPE),
            _conv(32),
            _conv(64),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            _logits(),
        ],
        name="simple_cnn",
    )


def proposed_cnn() -> keras.Model:
    """The proposed CNN of Table IV: 22,386,119 parameters.

    The paper does not say which convolutions are padded; in the released notebook the first of each pair is
    (``same``), the second is not (``valid``), which leaves 20,736 features after the last pooling.
    """
    return keras.Sequential(
        [
            keras.Input(INPUT_SHAPE),
            _conv(64, "same"),
            _conv(64),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            _conv(128, "same"),
            _conv(128),
            _conv(256, "same"),
            _conv(256),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", kernel_regularizer=keras.regularizers.L2(0.001)),
            layers.Dropout(0.5),
            _logits(),
        ],
        name="proposed_cnn",
    )

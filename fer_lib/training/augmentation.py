"""Random changes of the training faces, as Keras layers: without weights, at work in training only."""

import keras
from keras import layers


def augmented(network: keras.Model, name: str) -> keras.Model:
    """The network behind the random changes called ``name``; behind "none" it is the network itself.

    "flip": every other face is mirrored. "flip and affine": besides, each is turned by up to 10 degrees, shifted by up
    to a tenth of its side and scaled to between 0.9 and 1.1, new ground taking the colour of the nearest edge; the
    ranges are those of usual recipes for FER2013, mild enough to leave an expression what it is. Each time that a face
    is shown it is changed anew. Predictions see unchanged faces.

    "flip, affine and erasing": besides, on every other face a rectangle of 2 to 20 % of its area becomes 0, which is
    black, or the mean grey of standardised faces (Zhong et al. 2017): half-hidden faces are to be told apart too.
    """
    changes = [] if name == "none" else [layers.RandomFlip("horizontal")]
    if name in ("flip and affine", "flip, affine and erasing"):
        changes += [
            layers.RandomRotation(10 / 360, fill_mode="nearest"),
            layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
            layers.RandomZoom((-0.1, 0.1), fill_mode="nearest"),
        ]
    if name == "flip, affine and erasing":
        changes.append(layers.RandomErasing((0.5, 0.5), scale=(0.02, 0.2), fill_value=0.0))
    if not changes:
        return network
    return keras.Sequential([keras.Input(network.input_shape[1:]), *changes, network], name=network.name)

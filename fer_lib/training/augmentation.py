"""Random changes of the training faces, as Keras layers: without weights, at work in training only."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops


def augmented(network: keras.Model, name: str) -> keras.Model:
    """The network behind the random changes called ``name``; behind "none" it is the network itself.

    "flip": every other face is mirrored. "flip and affine": besides, each is turned by up to 10 degrees, shifted by up
    to a tenth of its side and scaled to between 0.9 and 1.1, new ground taking the colour of the nearest edge; the
    ranges are those of usual recipes for FER2013, mild enough to leave an expression what it is. Each time that a face
    is shown it is changed anew. Predictions see unchanged faces.

    "flip, affine and erasing": besides, on every other face a rectangle of 2 to 20 % of its area becomes 0, which is
    black, or the mean grey of standardised faces (Zhong et al. 2017): half-hidden faces are to be told apart too.

    "geometry": ``Geometry``, mirrored, turned, shifted and scaled at once. "... and erasing", as above; "... and
    light": ``Light``. "perturbation": ``Perturbation``.
    """
    if name == "perturbation":
        return _behind([Perturbation()], network)
    if name.startswith("geometry"):
        changes = [Geometry()] + [Light()] * ("light" in name) + [_erasing()] * ("erasing" in name)
        return _behind(changes, network)
    changes = [] if name == "none" else [layers.RandomFlip("horizontal")]
    if name in ("flip and affine", "flip, affine and erasing"):
        changes += [
            layers.RandomRotation(10 / 360, fill_mode="nearest"),
            layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
            layers.RandomZoom((-0.1, 0.1), fill_mode="nearest"),
        ]
    if name == "flip, affine and erasing":
        changes.append(_erasing())
    return _behind(changes, network) if changes else network


def perturbed(inputs: np.ndarray, seed: int, views: int = 10) -> Iterator[np.ndarray]:
    """Views of (n, h, w, 1) float32 faces, each face perturbed by chance as in training, always alike for a seed."""
    changed = Perturbation()
    for view in range(views):
        state = changed.seed_generator.state
        state.assign(np.random.SeedSequence([seed, view]).generate_state(2).astype(state.dtype))
        parts = (inputs[at : at + 1024] for at in range(0, len(inputs), 1024))
        yield np.concatenate([ops.convert_to_numpy(changed(part, training=True)) for part in parts])


def _erasing() -> keras.Layer:
    return layers.RandomErasing((0.5, 0.5), scale=(0.02, 0.2), fill_value=0.0)


def _behind(changes: list[keras.Layer], network: keras.Model) -> keras.Model:
    return keras.Sequential([keras.Input(network.input_shape[1:]), *changes, network], name=network.name)


class _Random(layers.Layer):
    """A change of (n, h, w, 1) float32 faces in training, each by its own random numbers, at any precision."""

    def __init__(self, **config):
        super().__init__(**config | {"dtype": "float32"})
        self.seed_generator = keras.random.SeedGenerator()

    def compute_output_shape(self, input_shape):
        return input_shape

    def between(self, faces, low: float, high: float):
        """(n, 1, 1, 1) float32, evenly distributed."""
        return keras.random.uniform((ops.shape(faces)[0], 1, 1, 1), low, high, seed=self.seed_generator)

    def call(self, faces, training=False):
        return self.changed(faces) if training else faces


@keras.saving.register_keras_serializable("fer_lib")
class Geometry(_Random):
    """Every other face mirrored, each turned by up to 10 degrees, shifted by up to a tenth of its side, and scaled to
    between 0.8 and 1.2, in one bilinear interpolation, which blurs less than one for each. New ground takes the colour
    of the nearest edge."""

    def changed(self, faces):
        middle = (faces.shape[1] - 1) / 2
        mirror = ops.where(self.between(faces, 0, 1) < 0.5, -1.0, 1.0)
        angle, zoom = self.between(faces, -np.pi / 18, np.pi / 18), self.between(faces, 0.8, 1.2)
        right, down = (self.between(faces, -0.1, 0.1) * faces.shape[1] for _ in range(2))
        # Where each output pixel (x, y) comes from: (a x + b y + c, d x + e y + f).
        a, b = mirror * ops.cos(angle) / zoom, -mirror * ops.sin(angle) / zoom
        d, e = ops.sin(angle) / zoom, ops.cos(angle) / zoom
        c, f = middle + right - (a + b) * middle, middle + down - (d + e) * middle
        nothing = ops.zeros_like(a)
        rows = ops.concatenate([a, b, c, d, e, f, nothing, nothing], axis=-1)
        return ops.image.affine_transform(faces, ops.reshape(rows, (-1, 8)), fill_mode="nearest")


@keras.saving.register_keras_serializable("fer_lib")
class Perturbation(_Random):
    """How Yu and Zhang 2015 (ICMI, doi 10.1145/2818346.2830595) change a face, in training and at test: mirrored or
    not; turned by 10 degrees to either side or not at all; sheared by a tenth along x and y, to either side or not at
    all; enlarged so that up to 4 of its 48 pixels fall off a side, and shifted by as many or not at all. New ground is
    the face reflected. One bilinear interpolation does it all."""

    def changed(self, faces):
        n, middle = ops.shape(faces)[0], (faces.shape[1] - 1) / 2
        mirror = ops.where(self.between(faces, 0, 1) < 0.5, -1.0, 1.0)
        angle = self.one_of_three(faces) * np.pi / 18
        shear_x, shear_y = (0.1 * self.one_of_three(faces) for _ in range(2))
        off = self.between(faces, 0, 4)
        across, down = (off * ops.cast(self.between(faces, 0, 1) < 0.5, "float32") - off / 2 for _ in range(2))
        zoom = 1 - off / (2 * middle)  # where an output pixel comes from: nearer to the middle
        cos, sin = ops.cos(angle), ops.sin(angle)
        a, b = mirror * zoom * (cos + shear_x * sin), zoom * (shear_x * cos - sin)
        d, e = mirror * zoom * (sin + shear_y * cos), zoom * (cos - shear_y * sin)
        c, f = middle + across - (a + b) * middle, middle + down - (d + e) * middle
        nothing = ops.zeros_like(a)
        rows = ops.concatenate([a, b, c, d, e, f, nothing, nothing], axis=-1)
        return ops.image.affine_transform(faces, ops.reshape(rows, (n, 8)), fill_mode="reflect")

    def one_of_three(self, faces):
        """(n, 1, 1, 1) float32: -1, 0 or 1."""
        return ops.floor(self.between(faces, 0, 3)) - 1


@keras.saving.register_keras_serializable("fer_lib")
class Light(_Random):
    """Each face's gamma, contrast and brightness changed, by what it is itself, so that any scaling of pixels will do.

    Between its darkest and its brightest pixel grey levels follow a power of 2/3 to 3/2; then the contrast is
    multiplied by 0.8 to 1.25, and a fifth of the face's deviation at most is added to all pixels or taken off.
    """

    def changed(self, faces):
        low, high = (f(faces, axis=(1, 2, 3), keepdims=True) for f in (ops.min, ops.max))
        width = ops.maximum(high - low, 1e-6)
        gamma = ops.exp(self.between(faces, -np.log(1.5), np.log(1.5)))
        faces = low + width * ((faces - low) / width) ** gamma
        mean, deviation = (f(faces, axis=(1, 2, 3), keepdims=True) for f in (ops.mean, ops.std))
        contrast = ops.exp(self.between(faces, -np.log(1.25), np.log(1.25)))
        return mean + contrast * (faces - mean) + self.between(faces, -0.2, 0.2) * deviation

"""The networks that both papers measure themselves against, as far as they are published.

All take (n, 48, 48, 1) float32 grey levels and give (n, 7) float32 logits, or 8 of them for FER+; a network of a
smaller ``side`` looks at the middle of the face, and a face that is shifted in training is thereby cropped at random.
Where a paper was not open to us, the sizes come from public programs that follow it, and the experiment that trains the
network says so in a numbered deviation.
"""

import keras
from keras import layers, ops

from . import sequential
from .pretrained import LocalResponseNormalization

INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
}
"""Filters of GoogLeNet's first four modules (Szegedy et al. 2014, Table 1): 1x1; 3x3 and what is before it; 5x5 and
what is before it; behind the pooling."""


def mollahosseini(dropout: float = 0.5) -> keras.Model:
    """The network of Mollahosseini, Chan and Mahoor 2016 (arXiv 1511.04110): 7,795,503 parameters.

    Two convolutions, each with a pooling, then four Inception modules with the sizes that GoogLeNet has for them, one
    more pooling between the first and the second pair, an average, and dense layers of 4,096 and 1,024, each followed
    by ``dropout`` (0 to 1).
    """
    faces = keras.Input((48, 48, 1))
    x = _relu(64, 7, strides=2)(faces)
    x = _halved(x)
    x = _relu(192, 3)(x)
    x = _halved(x)
    for name, filters in INCEPTIONS.items():
        x = _inception(x, name, filters)
        x = _halved(x) if name == "3b" else x
    x = layers.GlobalAveragePooling2D()(x)
    for units in (4096, 1024):
        x = layers.Dropout(dropout)(layers.Dense(units, activation="relu")(x))
    return keras.Model(faces, _logits(x), name="mollahosseini")


def alexnet(dropout: float = 0.5) -> keras.Model:
    """AlexNet (Krizhevsky et al. 2012) at 48 pixels, what Mollahosseini et al. compare with: 23,319,239 parameters.

    Every layer as in the original, padded, so that 48 pixels become 12, 6, 3 and 2; ``dropout`` after both dense layers
    of 4,096.
    """
    stack = [_relu(96, 11, strides=4), LocalResponseNormalization(), _max_pooling()]
    stack += [_relu(256, 5, groups=2), LocalResponseNormalization(), _max_pooling()]
    stack += [_relu(384, 3), _relu(384, 3, groups=2), _relu(256, 3, groups=2), _max_pooling(), layers.Flatten()]
    for _ in range(2):
        stack += [layers.Dense(4096, activation="relu"), layers.Dropout(dropout)]
    return sequential("alexnet", stack)


def yu_zhang(dropout: float = 0.5) -> keras.Model:
    """The network of Yu and Zhang 2015 (ICMI, doi 10.1145/2818346.2830595): 6,073,351 parameters.

    Five convolutions (64 filters of 5x5, then 3x3: 64, 64, 128, 128), three stochastic poolings of 3x3 at every other
    pixel, and three dense layers; ``dropout`` after the first two of them.
    """
    stack = [_relu(64, 5), StochasticPooling()]
    for filters in (64, 128):
        stack += [_relu(filters, 3), _relu(filters, 3), StochasticPooling()]
    stack.append(layers.Flatten())
    for _ in range(2):
        stack += [layers.Dense(1024, activation="relu"), layers.Dropout(dropout)]
    return sequential("yu_zhang", stack)


def tang(side: int = 42, dropout: float = 0.5) -> keras.Model:
    """The network of Tang 2013 (arXiv 1306.0239), winner of the FER2013 competition: 3,238,823 parameters.

    The paper does not list its layers. These are the ones by which Sang et al. 2017 restate it: convolutions of 32
    filters of 5x5, 32 of 4x4 and 64 of 5x5, padded, pooled by maximum, mean and mean over 3x3, and a dense layer of
    3,072 with ``dropout``. Its loss is "squared hinge", which makes the last layer a linear support vector machine.
    """
    stack = [layers.CenterCrop(side, side), _relu(32, 5), _max_pooling(), _relu(32, 4)]
    stack += [layers.AveragePooling2D(3, 2), _relu(64, 5), layers.AveragePooling2D(3, 2), layers.Flatten()]
    return sequential("tang", [*stack, layers.Dense(3072, activation="relu"), layers.Dropout(dropout)])


def bkvgg12(side: int = 42, dropout: float = 0.5) -> keras.Model:
    """BKVGG12 of Sang, Dat and Thuan 2017 (KSE, pp. 130-135): 3,468,007 parameters.

    Nine 3x3 convolutions of 32, 32, 64, 64, 128, 128 and three times 256 filters, pooled after each of the first three
    pairs, and dense layers of 256, 256 and 7, with ``dropout`` before the last two; weights begin as He et al. 2015
    sample them.
    """
    stack = [layers.CenterCrop(side, side)]
    for filters in (32, 64, 128):
        stack += [_relu(filters, 3, kernel_initializer="he_normal") for _ in range(2)] + [layers.MaxPooling2D()]
    stack += [_relu(256, 3, kernel_initializer="he_normal") for _ in range(3)] + [layers.Flatten()]
    for _ in range(2):
        stack += [
            layers.Dense(256, activation="relu", kernel_initializer="he_normal"),
            layers.Dropout(dropout),
        ]
    return sequential("bkvgg12", stack)


def kahou(features: int = 256, dropout: float = 0.5) -> keras.Model:
    """A face network in the place of that of Ebrahimi Kahou et al. 2015 (ICMI, doi 10.1145/2818346.2830596):
    1,440,519 parameters.

    Three convolutions, each pooled, the first with large filters of 9x9. Its sizes are ours: the paper could not be
    read. The last hidden layer, ``features`` wide, is what their recurrent network is shown of each frame.
    """
    stack = [_relu(32, 9), _max_pooling(), _relu(64, 5), _max_pooling(), _relu(128, 5), _max_pooling()]
    stack += [layers.Flatten(), layers.Dense(features, activation="relu", name="features"), layers.Dropout(dropout)]
    return sequential("kahou", stack)


def irnn(frames: int, features: int, units: int = 100) -> keras.Model:
    """The recurrent network of Ebrahimi Kahou et al. 2015: (n, frames, features) float32 to (n, 7) float32 logits.

    Rectified linear units that add up what they are shown: the recurrence begins as the identity, what goes into it as
    small normal numbers (Le et al. 2015, arXiv 1504.00941).
    """
    shown = keras.Input((frames, features))
    x = layers.SimpleRNN(
        units,
        activation="relu",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        recurrent_initializer=keras.initializers.Identity(),
    )(shown)
    return keras.Model(shown, _logits(x), name="irnn")


def tandem(width: int = 32, dropout: float = 0.5, classes: int = 8) -> keras.Model:
    """The joined network of Li et al. 2018 (IEEE Transactions on Affective Computing): 810,704 parameters.

    One branch learns the expression: our narrow VGG's convolutions, in the place of theirs. The other is DeepID (Sun et
    al. 2014), of which weights learned on people's identities can be given (``models.weights``); without them it begins
    at random. What both find is one vector, the "tandem facial expression" feature, before a dense layer of 256 with
    ``dropout``.
    """
    from .modern import small_vgg

    faces = keras.Input((48, 48, 1))
    expression = faces
    for layer in small_vgg(width).layers[:-2]:  # without its dropout and its logits
        expression = layer(expression)
    joined = layers.Concatenate(name="tandem")([expression, _deepid(faces)])
    x = layers.Dropout(dropout)(layers.Dense(256, activation="relu")(joined))
    return keras.Model(faces, _logits(x, classes), name="tandem")


def _deepid(faces):
    """DeepID's 160 values of a face, from its third and fourth convolution. Layers of its own names: "deepid_1" ..."""
    x, seen = faces, []
    for number, (filters, side) in enumerate(((20, 4), (40, 3), (60, 3), (80, 2)), start=1):
        x = layers.Conv2D(filters, side, activation="relu", name=f"deepid_{number}")(x)
        x = layers.MaxPooling2D()(x) if number < 4 else x
        seen = [layers.Flatten()(x), *seen][:2]
    return layers.Dense(160, activation="relu", name="deepid_5")(layers.Concatenate()(seen))


@keras.saving.register_keras_serializable("fer_lib")
class StochasticPooling(layers.Layer):
    """Pooling by chance (Zeiler and Fergus 2013, arXiv 1301.3557), padded with zeros: (n, h, w, c), 0 or more, to (n,
    ceil(h / strides), ceil(w / strides), c).

    In training it takes one value of each window, each with a chance in proportion to its size; afterwards the mean
    that this has: the sum of the squares divided by the sum.
    """

    def __init__(self, pool_size: int = 3, strides: int = 2, **config):
        super().__init__(**config)
        self.pool_size, self.strides = pool_size, strides
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x, training=False):
        x = ops.cast(x, "float32")
        windows = self._windows(x)
        total = sum(windows)
        if not training:
            pooled = sum(ops.square(value) for value in windows) / ops.maximum(total, 1e-12)
            return ops.cast(pooled, self.compute_dtype)
        place = ops.stop_gradient(total) * keras.random.uniform(ops.shape(total), seed=self.seed_generator)
        reached, chosen = ops.zeros_like(place), []
        for value in windows[:-1]:
            reached = reached + ops.stop_gradient(value)
            chosen.append(place < reached)
        pooled = windows[-1]
        for value, here in zip(windows[-2::-1], chosen[::-1]):
            pooled = ops.where(here, value, pooled)
        return ops.cast(pooled, self.compute_dtype)

    def _windows(self, x) -> list:
        """The values of all windows, each the size of the output: all upper left ones, their neighbours, and so on.

        Pixels are first sorted by where they lie between two windows, because the gradient of a slice is as large as
        what it is cut from: a slice with steps for each value makes an epoch twice as long.
        """
        step, beyond = self.strides, -(-self.pool_size // self.strides) - 1
        steps = [-(-side // step) for side in x.shape[1:3]]
        over = [max(0, (n - 1) * step + self.pool_size - side) for n, side in zip(steps, x.shape[1:3])]
        after = [(n + beyond) * step - side - each // 2 for n, side, each in zip(steps, x.shape[1:3], over)]
        x = ops.pad(x, [[0, 0], *([each // 2, rest] for each, rest in zip(over, after)), [0, 0]])
        x = ops.reshape(x, (-1, steps[0] + beyond, step, steps[1] + beyond, step, x.shape[-1]))
        sorted_out = [ops.unstack(rows, axis=3) for rows in ops.unstack(x, axis=2)]
        return [
            sorted_out[i % step][j % step][:, i // step : i // step + steps[0], j // step : j // step + steps[1]]
            for i in range(self.pool_size)
            for j in range(self.pool_size)
        ]

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return n, -(-height // self.strides), -(-width // self.strides), channels

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "strides": self.strides}


def _relu(filters: int, side: int, **options) -> keras.Layer:
    return layers.Conv2D(filters, side, padding="same", activation="relu", **options)


def _max_pooling() -> keras.Layer:
    return layers.MaxPooling2D(3, 2, padding="same")


def _halved(x):
    return _max_pooling()(x)


def _inception(x, name: str, filters: tuple[int, ...]):
    one, before_three, three, before_five, five, pooled = filters
    return layers.Concatenate(name=f"inception_{name}")([
        _relu(one, 1)(x),
        _relu(three, 3)(_relu(before_three, 1)(x)),
        _relu(five, 5)(_relu(before_five, 1)(x)),
        _relu(pooled, 1)(layers.MaxPooling2D(3, 1, padding="same")(x)),
    ])  # fmt: skip


def _logits(x, classes: int = 7):
    return layers.Dense(classes, dtype="float32", name="logits")(x)

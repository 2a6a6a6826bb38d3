"""The five networks of Vorontsov and Averkin 2018, Table 1, which others pre-trained and then trained on FER2013.

As FER networks they take (n, 48, 48, 1) float32 grey levels of **0 to 255** (``input_scale`` "0..255") and give (n, 7)
float32 logits. Their input stage enlarges the faces (bilinearly) to ``side`` pixels, by default the owners' training
size, copies grey into three channels, and shifts and scales each as the owners' weights need it. The stage and the
logits stay in float32 under mixed precision. VGG16 and ResNet152 are Keras' own; the layers of the others have the
names from their owners' files (``fer_lib.models.weight_files``), except the last, which is always "logits".
"""

import keras
from keras import layers, ops

IMAGENET_BGR = (103.939, 116.779, 123.68)
"""Mean of ImageNet's pixels, BGR, as subtracted by the owners of VGG16 and ResNet; they divide by nothing."""
CAFFENET_BGR = (104.00698793, 116.66876762, 122.67891434)
"""Mean of the mean picture that Caffe subtracts."""
VGG_FACE_BGR = (93.59396362, 104.76238251, 129.1862793)
"""Mean of the faces that VGG-Face was trained on."""


def googlenet(side: int = 224, batch_normalisation: bool = True) -> keras.Model:
    """GoogLeNet (Szegedy et al. 2014), without its auxiliary heads.

    With ``batch_normalisation`` it is torchvision's, of which weights are published: normalised, convolutions without
    biases, and 3 x 3 where the paper has 5 x 5. Without, it is the paper's: biases, 5 x 5, local response
    normalisation. Both scale pixels to -1..1: torchvision's usual shift and scale, undone by its ``transform_input``.
    """
    pixels, x = _stage(side, (127.5,) * 3, 127.5)
    return _network(pixels, _googlenet(x, batch_normalisation), "googlenet")


def caffenet(side: int = 227) -> keras.Model:
    """CaffeNet: Caffe's AlexNet (Krizhevsky et al. 2012), with normalisation after the pooling. ``side``: 63 or
    more."""
    pixels, x = _stage(side, CAFFENET_BGR, least=63)
    return _network(pixels, _caffenet(x), "caffenet")


def vgg16(side: int = 224) -> keras.Model:
    """VGG16 (Simonyan and Zisserman 2014): Keras' convolutions, and dense layers with the paper's dropout of 0.5."""
    pixels, x = _stage(side, IMAGENET_BGR)
    return _network(pixels, _vgg16(x), "vgg16")


def resnet152(side: int = 224) -> keras.Model:
    """ResNet152 (He et al. 2015), the first version, as Keras has it."""
    pixels, x = _stage(side, IMAGENET_BGR)
    return _network(pixels, _resnet152(x), "resnet152")


def vgg_face(side: int = 224) -> keras.Model:
    """VGG-Face (Parkhi et al. 2015): VGG16's layers, trained to tell 2,622 people apart. The paper's VGG16-FACE."""
    pixels, x = _stage(side, VGG_FACE_BGR)
    return _network(pixels, _vgg_face(x), "vgg_face")


@keras.saving.register_keras_serializable("fer_lib")
class LocalResponseNormalization(layers.Layer):
    """Divides by (1 + 1e-4 x the mean square of 5 neighbouring channels) to the power of 0.75, as Caffe does."""

    def call(self, x):
        channels = x.shape[-1]
        squares = ops.pad(ops.square(x), [[0, 0], [0, 0], [0, 0], [2, 2]])
        mean = sum(squares[..., k : k + channels] for k in range(5)) / 5
        return x / (1 + 1e-4 * mean) ** 0.75

    def compute_output_shape(self, input_shape):
        return input_shape


def _stage(side: int, mean: tuple[float, float, float], width: float = 1.0, least: int = 32):
    """Grey pixels of 0 to 255, and three channels of them, side x side, each less its mean and divided by ``width``."""
    if side < least:
        raise ValueError(f"model_options: found side {side}, expected {least} pixels or more")
    pixels = keras.Input((48, 48, 1))
    x = layers.Resizing(side, side, dtype="float32", name="enlarged")(pixels)
    x = layers.Concatenate(dtype="float32", name="three_channels")([x, x, x])
    return pixels, layers.Normalization(mean=mean, variance=(width**2,) * 3, dtype="float32", name="centred")(x)


def _network(inputs, features, name: str) -> keras.Model:
    return keras.Model(inputs, layers.Dense(7, dtype="float32", name="logits")(features), name=name)


def _pool(x, size: int, name: str):
    """Max pooling with stride 2 whose last window may cross the edge, as Caffe and torchvision round.

    Keras pads only at the end, where one row is missing.
    """
    return layers.MaxPooling2D(size, 2, "same" if (x.shape[1] - size) % 2 else "valid", name=name)(x)


def _dense(x, *names: str):
    x = layers.Flatten(name="flatten")(x)
    for name in names:
        x = layers.Dense(4096, activation="relu", name=name)(x)
        x = layers.Dropout(0.5, name=f"{name}.dropout")(x)
    return x


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
"""Filters of the blocks: first branch, the two convolutions of the second and of the third, pooled branch."""


def _googlenet(x, batch_normalisation: bool = True):
    def convolution(x, filters: int, kernel: int, name: str, strides: int = 1):
        if strides > 1:  # "same" would not pad both sides alike
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}.padding")(x)
        padding = "same" if strides == 1 else "valid"
        x = layers.Conv2D(filters, kernel, strides, padding, use_bias=not batch_normalisation, name=f"{name}.conv")(x)
        if batch_normalisation:
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}.bn")(x)
        return layers.ReLU(name=f"{name}.relu")(x)

    def normalised(x, name: str):
        return x if batch_normalisation else LocalResponseNormalization(name=name)(x)

    x = normalised(_pool(convolution(x, 64, 7, "conv1", strides=2), 3, "maxpool1"), "norm1")
    x = convolution(convolution(x, 64, 1, "conv2"), 192, 3, "conv3")
    x = _pool(normalised(x, "norm2"), 3, "maxpool2")
    for block, (first, less3, three, less5, five, pooled) in INCEPTIONS.items():
        name = f"inception{block}"
        branch1 = convolution(x, first, 1, f"{name}.branch1")
        branch2 = convolution(convolution(x, less3, 1, f"{name}.branch2.0"), three, 3, f"{name}.branch2.1")
        kernel = 3 if batch_normalisation else 5
        branch3 = convolution(convolution(x, less5, 1, f"{name}.branch3.0"), five, kernel, f"{name}.branch3.1")
        around = layers.MaxPooling2D(3, 1, "same", name=f"{name}.branch4.0")(x)
        branch4 = convolution(around, pooled, 1, f"{name}.branch4.1")
        x = layers.Concatenate(name=name)([branch1, branch2, branch3, branch4])
        if block == "3b":
            x = _pool(x, 3, "maxpool3")
        if block == "4e":
            x = _pool(x, 2 if batch_normalisation else 3, "maxpool4")
    x = layers.GlobalAveragePooling2D(name="avgpool")(x)
    return layers.Dropout(0.2 if batch_normalisation else 0.4, name="dropout")(x)


def _caffenet(x):
    def convolution(x, filters: int, kernel: int, number: int, **options):
        options = {"padding": "same", "activation": "relu", "name": f"conv{number}"} | options
        return layers.Conv2D(filters, kernel, **options)(x)

    x = _pool(convolution(x, 96, 11, 1, strides=4, padding="valid"), 3, "pool1")
    x = LocalResponseNormalization(name="norm1")(x)
    x = _pool(convolution(x, 256, 5, 2, groups=2), 3, "pool2")
    x = LocalResponseNormalization(name="norm2")(x)
    x = convolution(convolution(x, 384, 3, 3), 384, 3, 4, groups=2)
    x = _pool(convolution(x, 256, 3, 5, groups=2), 3, "pool5")
    return _dense(x, "fc6", "fc7")


def _vgg16(x):
    body = keras.applications.VGG16(include_top=False, weights=None, input_tensor=x)
    return _dense(body.output, "fc1", "fc2")


def _resnet152(x):
    return keras.applications.ResNet152(include_top=False, weights=None, input_tensor=x, pooling="avg").output


def _vgg_face(x):
    for block, (filters, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for k in range(1, count + 1):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{block}_{k}")(x)
        x = layers.MaxPooling2D(name=f"pool{block}")(x)
    return _dense(x, "fc6", "fc7")

"""Our own networks, from neither paper: batch normalisation, average pooling, few weights.

(n, 48, 48, 1) float32 in, (n, 7) float32 logits out, as everywhere in ``fer_lib.models``. ``vgg`` and ``resnet18`` look
at the middle ``side`` x ``side`` pixels: a training face that is shifted before (``training.augmentation``) is thereby
cropped at random, and shifted views are the crops of a test.
"""

import keras
from keras import layers

from . import sequential


def small_vgg(width: int = 32, dropout: float = 0.2, classes: int = 7) -> keras.Model:
    """A narrow VGG (Simonyan and Zisserman 2015) with batch normalisation: 418,087 parameters, 40 million
    multiply-adds.

    Six 3x3 convolutions of ``width`` times 1, 2, 3, 3, 4 and 4 filters; the first, second and fourth are pooled (48,
    24, 12, 6), before the normalisation, which then has a quarter of the values to process. The last 6x6 are averaged;
    ``dropout`` (0 to 1) comes before the dense layer. It computes a 13th of the proposed CNN's operations.
    """
    stack = []
    for times, pooled in ((1, True), (2, True), (3, False), (3, True), (4, False), (4, False)):
        stack.append(_conv(width * times))
        stack += [layers.MaxPooling2D()] if pooled else []
        stack += [layers.BatchNormalization(), layers.ReLU()]
    stack += [layers.GlobalAveragePooling2D(), layers.Dropout(dropout)]
    return sequential("small_vgg", stack, classes)


def vgg(width: int = 64, side: int = 40, dropout: float = 0.2) -> keras.Model:
    """A VGG with batch normalisation for small faces: 4,693,575 parameters, 325 million multiply-adds.

    Four blocks of two 3x3 convolutions of ``width`` times 1, 2, 4 and 8 filters, each block pooled, as the VGG of
    Pramerdorfer and Kampel 2016 (arXiv 1612.02903) has them; the last values are averaged where theirs has a dense
    layer. ``dropout`` (0 to 1) comes before the logits.
    """
    stack = [layers.CenterCrop(side, side)]
    for times in (1, 2, 4, 8):
        stack += [_conv(width * times), layers.BatchNormalization(), layers.ReLU()]
        stack += [_conv(width * times), layers.MaxPooling2D(), layers.BatchNormalization(), layers.ReLU()]
    stack += [layers.GlobalAveragePooling2D(), layers.Dropout(dropout)]
    return sequential("vgg", stack)


def resnet18(width: int = 64, side: int = 40, dropout: float = 0.2) -> keras.Model:
    """ResNet-18 (He et al. 2016) with the stem for small pictures, a 3x3 convolution without pooling: 11,180,871
    parameters, 866 million multiply-adds.

    Four stages of two blocks, each of two 3x3 convolutions, of ``width`` times 1, 2, 4 and 8 filters. All but the first
    stage begin with stride 2, where a 1x1 convolution fits the block's input to its output. ``dropout`` (0 to 1) comes
    before the logits.
    """
    faces = keras.Input((48, 48, 1))
    x = layers.CenterCrop(side, side)(faces)
    x = layers.ReLU()(layers.BatchNormalization()(_conv(width)(x)))
    for stage, times in enumerate((1, 2, 4, 8)):
        for block in range(2):
            strides = 2 if stage and not block else 1
            y = layers.ReLU()(layers.BatchNormalization()(_conv(width * times, strides)(x)))
            y = layers.BatchNormalization()(_conv(width * times)(y))
            if strides == 2:
                # Every second pixel, then a convolution, is one with stride 2. That one's gradient, by oneDNN in
                # TensorFlow 2.21, writes past its memory where it has fewer than 16 filters to read.
                x = layers.MaxPooling2D(1, strides, padding="same")(x)
                x = layers.BatchNormalization()(_conv(width * times, kernel=1)(x))
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    logits = layers.Dense(7, dtype="float32", name="logits")(x)
    return keras.Model(faces, logits, name="resnet18")


def _conv(filters: int, strides: int = 1, kernel: int = 3) -> keras.Layer:
    return layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal")

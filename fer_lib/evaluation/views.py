"""Several looks at the same face: the mean of a network's logits over them is steadier than one look."""

from collections.abc import Iterator

import numpy as np

SHIFT = 4
"""By how many pixels a corner's view is shifted: the corners of 48x48 that a network of 40x40 pixels can look at."""


def views(images: np.ndarray, name: str) -> Iterator[np.ndarray]:
    """The views of (n, h, w) uint8 images that are called ``name``, each (n, h, w) uint8, the images themselves first.

    "none": only these. "flip": and mirrored. "five crops": and shifted by ``SHIFT`` pixels towards each corner, new
    ground taking the colour of the nearest edge. "ten crops": these five and each of them mirrored (Krizhevsky et al.
    2012).
    """
    crops = name in ("five crops", "ten crops")
    corners = [(down, right) for down in (-SHIFT, SHIFT) for right in (-SHIFT, SHIFT)] if crops else []
    height, width = images.shape[1:]
    around = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    for down, right in [(0, 0), *corners]:
        view = around[:, SHIFT + down : SHIFT + down + height, SHIFT + right : SHIFT + right + width]
        yield view
        if name in ("flip", "ten crops"):
            yield view[:, :, ::-1]

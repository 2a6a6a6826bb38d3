"""Faces and their emotions, live: from a camera, a video, a stream or pictures to labelled faces.

    from fer_lib import live

    for result in live.watch("video.mp4"):
        for face in result.faces:
            print(result.time, face.track, face.box, face.top2)

    faces = live.look("picture.jpg")  # or its bytes, a PIL image, an array

Nothing here imports Keras, TensorFlow or the notebooks' packages: the first result comes within a second.
"""

from .boxes import crops
from .pipeline import Face, Result, Watcher, look, watch

__all__ = ["Face", "Result", "Watcher", "crops", "look", "watch"]

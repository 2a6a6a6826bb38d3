"""The camera of the browser that shows a notebook; the kernel processes its frames. Needs ``anywidget``."""

from pathlib import Path

import anywidget

from ..files import pictures, reason
from .pipeline import Watcher


class Camera(anywidget.AnyWidget):
    """A button that starts the browser's camera, and its picture with each face's predicted emotion.

    The browser sends a frame as JPEG, and the next one when it has received the faces. If the kernel is on another
    machine, that machine receives the frames. ``faces``: the latest frame's; ``frames``: their number. Arguments and
    errors are those of ``pipeline.Watcher``.
    """

    _esm = Path(__file__).with_name("widget.js")

    def __init__(self, **arguments):
        super().__init__()
        self.watcher = Watcher(**arguments)
        self.frames, self.faces = 0, ()
        self.on_msg(self._look)

    def _look(self, widget, content: dict, buffers: list) -> None:
        """Process a frame: ``content`` has its time in seconds, ``buffers`` its JPEG. What goes wrong is an answer too,
        or the browser would wait for one."""
        try:
            self.faces, _ = self.watcher.look(pictures.as_bgr(buffers[0]), float(content["time"]))
        except Exception as error:
            self.send({"error": reason(error)})
            raise
        self.frames += 1
        names = "box", "turn", "track", "top2", "abstained"
        self.send({"faces": [{name: getattr(face, name) for name in names} for face in self.faces]})

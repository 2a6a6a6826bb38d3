"""The notebook's camera: the kernel's half by itself, and both halves in JupyterLab in headless Chromium."""

import os
import re
import subprocess
import sys

import cv2
import film
import made_up_network
import nbformat
import numpy as np
import pytest
from chromium import chromium

from fer_lib import paths
from fer_lib.live import inference

pytest.importorskip("anywidget", reason="anywidget is not installed; the lock has it")

CELL = """
from pathlib import Path
from fer_lib.live import inference, widget
camera = widget.Camera(classifier=inference.load(Path("made_up.onnx")))
camera
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("onnx", reason="onnx, which writes the network, is not installed; the lock has it")
    from fer_lib.live import export

    path = tmp_path_factory.mktemp("jupyter") / "made_up.onnx"
    path.write_bytes(export.to_onnx(made_up_network.network(), made_up_network.TEMPERATURE, {}))
    return path


def test_a_frame_of_the_browser_gets_its_faces(model, monkeypatch):
    from fer_lib.live import widget

    camera, sent = widget.Camera(classifier=inference.load(model)), []
    monkeypatch.setattr(camera, "send", sent.append)
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[:, 60:572] = film.astronaut()[:480, :, ::-1]
    for time, picture in ((0.0, frame), (0.1, frame), (0.2, np.full_like(frame, 90))):
        camera._look(camera, {"time": time}, [memoryview(cv2.imencode(".jpg", picture)[1].tobytes())])
    assert [len(message["faces"]) for message in sent] == [1, 1, 0]
    first, second = sent[0]["faces"][0], sent[1]["faces"][0]
    assert first["track"] == second["track"] == 1
    left, top, width, height = first["box"]
    assert left < 60 + 223 < left + width and top < 115 < top + height  # the middle of her face
    assert abs(first["turn"]) < 8
    assert first["top2"][0][1] >= first["top2"][1][1] and first["abstained"] == (first["top2"][0][1] < 0.5)
    assert camera.frames == 3 and camera.faces == ()


def test_what_cannot_be_looked_at_is_answered_too(model, monkeypatch):
    from fer_lib.live import widget

    camera, sent = widget.Camera(classifier=inference.load(model)), []
    monkeypatch.setattr(camera, "send", sent.append)
    with pytest.raises(ValueError, match="found no picture that can be decoded"):
        camera._look(camera, {"time": 0.0}, [memoryview(b"no picture")])
    (message,) = sent
    assert list(message) == ["error"] and "found no picture that can be decoded" in message["error"]


def test_a_page_that_was_loaded_again_begins_anew(model, monkeypatch):
    """The browser's clock then begins at 0 again."""
    from fer_lib.live import widget

    camera = widget.Camera(classifier=inference.load(model))
    monkeypatch.setattr(camera, "send", lambda message: None)
    frame = np.full((480, 640, 3), 90, np.uint8)
    frame[:, 60:572] = film.astronaut()[:480, :, ::-1]
    jpeg = memoryview(cv2.imencode(".jpg", frame)[1].tobytes())
    for time, track in ((3600.0, 1), (3600.1, 1), (0.0, 2), (0.1, 2)):
        camera._look(camera, {"time": time}, [jpeg])
        assert [face.track for face in camera.faces if face.box[2] > 80] == [track]


@pytest.fixture(scope="module")
def jupyter(model):
    """JupyterLab's address, of a folder with one notebook."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed; the lock has it")
    cells = [
        nbformat.v4.new_code_cell(CELL.strip()),
        # Hers is the large one: in some frames, blaze takes the collar of her suit for a second, small face.
        nbformat.v4.new_code_cell("camera.frames > 1, [face.track for face in camera.faces if face.box[2] > 80]"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}  # or it would ask
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), model.parent / "camera.ipynb")
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--port=0",
        "--IdentityProvider.token=t",
    ]
    command += [f"--ServerApp.root_dir={model.parent}", "--LabApp.news_url=", "--LabApp.check_for_updates_class="
                "jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT), "JUPYTER_CONFIG_DIR": str(model.parent / "config")}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(model.parent / "settings")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=model.parent, env=environment) as server:
        try:
            for line in server.stderr:
                if found := re.search(r"http://(?:localhost|127\.0\.0\.1):(\d+)/lab", line):
                    break
            else:
                raise AssertionError("JupyterLab did not start")
            yield f"http://localhost:{found[1]}/lab/tree/camera.ipynb?token=t"
        finally:
            server.terminate()


@pytest.mark.slow
def test_the_browsers_camera_is_looked_at_in_jupyterlab(jupyter, model):
    with chromium(*film.camera(model.parent / "camera.y4m")) as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.set_default_timeout(180_000)
        tab.goto(jupyter)
        tab.locator(".jp-Notebook .jp-Cell >> nth=0").click()
        tab.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        tab.keyboard.press("Shift+Enter")
        start = tab.get_by_role("button", name="Start the camera")
        start.click()
        status = tab.get_by_role("status").filter(has_text=re.compile(r"\d+: \w+\?? \d+ %, then \w+"))
        status.wait_for()
        tab.wait_for_timeout(1000)  # some frames more
        shown = "canvas => new Set(canvas.getContext('2d').getImageData(0, 100, canvas.width, 1).data).size"
        assert tab.get_by_role("img", name=re.compile("then")).evaluate(shown) > 50  # a picture, not an empty canvas
        tab.get_by_role("button", name="Stop the camera").click()
        tab.get_by_role("status").filter(has_text="The camera is off.").wait_for()
        tab.locator(".jp-Notebook .jp-Cell >> nth=1").click()
        tab.keyboard.press("Shift+Enter")
        tab.locator(".jp-OutputArea-output").filter(has_text="(True, [1])").wait_for()
        # An unplugged camera: the page says so, and it can be started again.
        given = "navigator.mediaDevices.getUserMedia"
        tab.evaluate(f"() => {{ const given = {given}.bind(navigator.mediaDevices); "
                     f"{given} = async (what) => (window.kept = await given(what)); }}")  # fmt: skip
        for _ in range(2):
            start.click()
            status.wait_for()
            tab.evaluate("() => kept.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
            tab.get_by_role("status").filter(has_text="The camera has stopped. Check that it is connected").wait_for()

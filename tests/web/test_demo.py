"""The web page, in headless Chromium: the network predicts in the browser what it predicts in Python."""

import functools
import http.server
import re
import shutil
import sys
import threading

import cv2
import film
import made_up_network
import numpy as np
import pytest
from chromium import chromium

from fer_lib import paths
from fer_lib.live import inference, pipeline

WEB = paths.ROOT / "web"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page with a network of no special weights, in a folder."""
    if not shutil.which("npm"):
        pytest.skip("npm, which fetches ONNX Runtime for browsers, is not here; install Node.js")
    pytest.importorskip("onnx", reason="onnx, which writes the network, is not installed; the lock has it")
    from fer_lib.live import export

    sys.path.insert(0, str(WEB))
    import build

    sys.path.remove(str(WEB))
    folder = tmp_path_factory.mktemp("demo")
    model = folder / "made_up.onnx"
    model.write_bytes(export.to_onnx(made_up_network.network(), made_up_network.TEMPERATURE, {}))
    try:
        build.build(folder / "page", model)
    except RuntimeError as error:
        pytest.skip(str(error))
    return folder / "page"


@pytest.fixture(scope="module")
def address(built):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=built))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def astronaut():
    return film.astronaut()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(*film.camera(tmp_path_factory.mktemp("film") / "camera.y4m")) as launched:
        yield launched


def opened(browser, address, **options):
    """The page, loaded, and the list of the errors that it reports, and of requests to elsewhere, from now on."""
    tab, errors = browser.new_page(**options), []
    tab.set_default_timeout(120_000)  # of a machine that has much else to do
    tab.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    ours = (address, "data:", f"blob:{address}")
    tab.on("request", lambda request: None if request.url.startswith(ours) else errors.append(request.url))
    tab.goto(address)
    wait_for(tab, "Ready")
    return tab, errors


def wait_for(tab, text: str) -> str:
    tab.locator("#status").filter(has_text=re.compile(text)).wait_for()
    return tab.locator("#status").inner_text()


def faces(tab) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each face its box (left, top, side) and its probabilities, all of one frame."""
    found = tab.locator("#faces article").evaluate_all(
        """articles => articles.map(article => [article.dataset.box, [...article.querySelectorAll("tr")].map(
          row => [row.querySelector("th").textContent, row.dataset.probability])])"""
    )
    for _, rows in found:
        assert [name for name, _ in rows] == list(inference.Classifier.emotions)
    return [(np.array(box.split(), float), np.array([p for _, p in rows], float)) for box, rows in found]


def png(picture: np.ndarray) -> dict:
    content = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    return {"name": "picture.png", "mimeType": "image/png", "buffer": content}


def test_a_picture_gets_the_box_of_opencv_and_the_probabilities_of_python(browser, address, built, astronaut):
    tab, errors = opened(browser, address)
    tab.locator("#file").set_input_files(png(astronaut))
    assert wait_for(tab, "in picture.png") == "One face in picture.png."
    (((left, top, side), found),) = faces(tab)
    assert found.sum() == pytest.approx(1, abs=1e-3)

    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    ((x, y, width, _),) = cascade.detectMultiScale(grey, 1.2, 3, minSize=(20, 20))
    assert abs(left - x) < 0.1 * width and abs(top - y) < 0.1 * width and abs(side - width) < 0.1 * width

    crop = pipeline.crops(grey, [(left, top, side, side)])
    expected = inference.load(built / "model.onnx").classify(crop)[0]
    np.testing.assert_allclose(found, expected, atol=0.02)
    best = inference.Classifier.emotions[int(found.argmax())]
    assert tab.locator("tr.likeliest th").inner_text() == best
    head = best if found.max() >= 0.5 else f"{best}?"
    assert tab.locator("#faces h2").inner_text() == head
    assert tab.locator("#picture").get_attribute("aria-label") == f"One face: {head}"
    assert errors == []


def test_several_faces_are_told_apart_by_number(browser, address, astronaut):
    tab, errors = opened(browser, address)
    half = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    tab.locator("#file").set_input_files(png(np.hstack([half, half[:, ::-1]])))
    wait_for(tab, "2 faces in picture.png")
    heads = tab.locator("#faces h2").all_inner_texts()
    assert [head.split(":")[0] for head in heads] == ["Face 1", "Face 2"]
    assert errors == []


def test_what_holds_no_face_or_is_no_picture_says_so(browser, address, astronaut):
    tab, errors = opened(browser, address)
    tab.locator("#file").set_input_files(png(astronaut))
    wait_for(tab, "One face")
    tab.locator("#file").set_input_files(png(np.full((200, 300, 3), 128, np.uint8)))
    wait_for(tab, "No faces in picture.png")
    assert faces(tab) == []
    tab.locator("#file").set_input_files({"name": "text.png", "mimeType": "image/png", "buffer": b"no picture"})
    wait_for(tab, "text.png could not be read as a picture")
    assert errors == []


def test_a_dropped_picture_is_looked_at(browser, address, astronaut):
    tab, errors = opened(browser, address)
    content = list(cv2.imencode(".png", astronaut[..., ::-1])[1].tobytes())
    tab.evaluate(
        """content => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(content)], "dropped.png", { type: "image/png" }));
          document.getElementById("stage").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        content,
    )
    wait_for(tab, "One face in dropped.png")
    assert errors == []


def test_the_camera_shows_a_face_until_it_is_stopped(browser, address):
    tab, errors = opened(browser, address)
    camera = tab.locator("#camera")
    camera.click()
    wait_for(tab, r"One face\. \d+ ms a frame, \d+ frames a second")
    assert camera.get_attribute("aria-pressed") == "true"
    ((box, p),) = faces(tab)
    assert p.sum() == pytest.approx(1, abs=1e-3)
    shown = "canvas => new Set(canvas.getContext('2d').getImageData(0, 100, canvas.width, 1).data).size"
    assert tab.locator("#picture").evaluate(shown) > 50  # a picture, not an empty canvas
    assert 640 / 2 - box[2] < box[0] + box[2] / 2 < 640  # mirrored: she stands left of the middle
    camera.click()
    assert wait_for(tab, "camera is off")
    assert camera.get_attribute("aria-pressed") == "false"
    tab.wait_for_timeout(300)
    assert tab.locator("#status").inner_text() == "The camera is off."
    assert errors == []


def test_a_machine_without_a_camera_says_so(browser, address):
    tab, errors = opened(browser, address)
    refusing = "async () => { throw new DOMException('', 'NotFoundError'); }"
    tab.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refusing}; }}")
    tab.locator("#camera").click()
    wait_for(tab, r"The camera could not be opened \(NotFoundError\)")
    assert tab.locator("#camera").get_attribute("aria-pressed") == "false"
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_any_width_in_light_and_dark(browser, address, astronaut, width, scheme):
    tab, errors = opened(browser, address, viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.locator("#file").set_input_files(png(astronaut))
    wait_for(tab, "One face")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = (
        np.mean([int(part) for part in re.findall(r"\d+", tab.evaluate(f"getComputedStyle(document.body).{name}"))[:3]])
        for name in ("color", "backgroundColor")
    )
    assert (ink < paper) == (scheme == "light") and abs(ink - paper) > 150
    for button in tab.get_by_role("button").all():
        assert button.bounding_box()["height"] >= 44
    assert errors == []

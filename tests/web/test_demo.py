"""The web page, in headless Chromium: faces are found and named in the browser as they are in Python."""

import base64
import functools
import http.server
import io
import math
import re
import shutil
import sys
import threading

import cv2
import film
import numpy as np
import pytest
from chromium import chromium

from fer_lib import paths
from fer_lib.live import blaze, boxes, inference

WEB = paths.ROOT / "web"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page, in a folder."""
    if not shutil.which("npm"):
        pytest.skip("npm, which fetches ONNX Runtime for browsers, is not here; install Node.js")
    pytest.importorskip("tf2onnx", reason="tf2onnx, which converts the detector, is not installed; the lock has it")
    if what := blaze.missing():
        pytest.skip(f"the face detector finds {what}")
    sys.path.insert(0, str(WEB))
    import build

    sys.path.remove(str(WEB))
    folder = tmp_path_factory.mktemp("page")
    try:
        build.build(folder)
    except RuntimeError as error:
        if "EINTEGRITY" in str(error):  # what came is not what the lock has
            raise
        pytest.skip(str(error))
    return folder


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
    """Of each face its box (middle, side, degrees clockwise) and its probabilities, all of one frame."""
    found = tab.locator("#faces article").evaluate_all(
        """articles => articles.map(article => [article.dataset.box, [...article.querySelectorAll("tr")].map(
          row => [row.querySelector("th").textContent, row.dataset.probability])])"""
    )
    for _, rows in found:
        assert [name for name, _ in rows] == list(inference.Classifier.emotions)
    return [(np.array(box.split(), float), np.array([p for _, p in rows], float)) for box, rows in found]


def largest(tab) -> tuple[np.ndarray, np.ndarray]:
    """Her face in a film: which frames are looked at is chance, and in some a fold of her suit counts beside it."""
    return max(faces(tab), key=lambda face: face[0][2])


def png(picture: np.ndarray) -> dict:
    content = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    return {"name": "picture.png", "mimeType": "image/png", "buffer": content}


def turned(picture: np.ndarray, degrees: float, ground: int = 128) -> np.ndarray:
    """A picture turned clockwise about its middle, what comes in at its corners of one grey."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(ground,) * 3)


def small(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def group(astronaut: np.ndarray) -> np.ndarray:
    """Her face four times in a picture large enough for the smallest squares: upright, mirrored, tilted and small."""
    picture = np.full((700, 1200, 3), 100, np.uint8)
    picture[20:340, 40:360] = small(astronaut, 320)
    picture[20:340, 440:760] = small(astronaut[:, ::-1], 320)
    picture[360:680, 100:420] = small(turned(astronaut, -35), 320)
    picture[450:590, 900:1040] = small(astronaut, 140)
    return picture


@pytest.mark.parametrize("kind", ["upright", "turned by 30 degrees", "small", "four"])
def test_a_picture_gets_the_boxes_and_the_probabilities_of_python(browser, address, astronaut, kind):
    pictures = {
        "upright": lambda: astronaut,
        "turned by 30 degrees": lambda: turned(astronaut, 30),
        "small": lambda: small(astronaut, 160),  # enlarged for the search, the near look and the classifier
        "four": lambda: group(astronaut),
    }
    picture = pictures[kind]()
    tab, errors = opened(browser, address)
    tab.locator("#file").set_input_files(png(picture))
    text = wait_for(tab, "in picture.png")

    image, grey = picture[..., ::-1].copy(), cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    expected = blaze.Blaze(moving=False)(image, grey)
    assert len(expected) == (4 if kind == "four" else 1)
    assert text == ("4 faces" if kind == "four" else "One face") + " in picture.png."
    found = faces(tab)
    probabilities = inference.load().classify(boxes.crops(grey, expected))
    for ((x, y, side, turn), ours), (left, top, width, _, degrees), theirs in zip(found, expected, probabilities):
        assert math.hypot(x - left - width / 2, y - top - width / 2) < 0.02 * width
        assert side == pytest.approx(width, rel=0.02)
        assert turn == pytest.approx(degrees, abs=1)
        assert ours.sum() == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert errors == []


def test_a_tilted_face_is_found_and_named(browser, address, astronaut):
    tab, errors = opened(browser, address)
    tab.locator("#file").set_input_files(png(turned(astronaut, -45)))
    assert wait_for(tab, "in picture.png") == "One face in picture.png."
    (((_, _, _, degrees), p),) = faces(tab)
    assert -50 < degrees < -35  # she holds her head a little tilted
    best = inference.Classifier.emotions[int(p.argmax())]
    assert tab.locator("tr.likeliest th").inner_text() == best
    head = best if p.max() >= 0.5 else f"{best}?"
    assert tab.locator("#faces h2").inner_text() == head
    assert tab.locator("#picture").get_attribute("aria-label") == f"One face: {head}"
    # The box is turned with her: where its upper left corner is drawn there is its colour.
    ((x, y, side, degrees),) = [box for box, _ in faces(tab)]
    turn = math.radians(degrees)
    corner = np.array((x, y)) - side / 2 * np.array((math.cos(turn) - math.sin(turn), math.sin(turn) + math.cos(turn)))
    colour = tab.locator("#picture").evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]",
        corner.round().astype(int).tolist(),
    )
    np.testing.assert_allclose(colour[:3], (255, 176, 0), atol=40)
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


def drop(tab, content: bytes, name: str, kind: str) -> None:
    tab.evaluate(
        """([content, name, type]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name, { type }));
          document.getElementById("stage").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        [base64.b64encode(content).decode(), name, kind],
    )


def test_a_dropped_picture_is_looked_at(browser, address, astronaut):
    tab, errors = opened(browser, address)
    drop(tab, png(astronaut)["buffer"], "dropped.png", "image/png")
    wait_for(tab, "One face in dropped.png")
    assert errors == []


@pytest.fixture(scope="module")
def webm(astronaut) -> bytes:
    """A film: her head stands still for two seconds, so that slow machines see it there, and goes from the left to the
    right in four, in which it turns from -25 degrees to 25."""
    av = pytest.importorskip("av", reason="PyAV, which writes the film, is not installed; the lock has it")
    if "libvpx" not in av.codecs_available:
        pytest.skip("this PyAV has no libvpx, which writes the film")
    head, out = astronaut[:240, 104:344], io.BytesIO()
    with av.open(out, "w", format="webm") as film:
        stream = film.add_stream("libvpx", rate=15)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 640, 480, "yuv420p", 2_000_000
        stream.options = {"deadline": "realtime", "cpu-used": "8"}
        for done in np.r_[np.zeros(30), np.linspace(0, 1, 60)]:
            frame = np.full((480, 640, 3), 100, np.uint8)
            left = round(20 + 250 * done)
            frame[90:440, left : left + 350] = small(turned(head, 50 * done - 25, 100), 350)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
    return out.getvalue()


def test_a_dropped_video_plays_and_its_face_is_followed(browser, address, webm):
    tab, errors = opened(browser, address)
    drop(tab, webm, "film.webm", "video/webm")
    pause, stop = tab.locator("#pause"), tab.locator("#stop")
    wait_for(tab, r"faces?\. \d+ ms a frame, \d+ frames a second")
    seen = []
    while "at its end" not in tab.locator("#status").inner_text():
        seen.append(largest(tab)[0])
        tab.wait_for_timeout(50)
    tab.wait_for_timeout(1000)  # what was being looked at then
    end, _ = largest(tab)
    x, degrees = np.transpose([*seen, end])[[0, 3]]
    assert x.min() < 270 and degrees.min() < 0  # before she is half through
    assert end[0] > 370 and end[3] > 10
    assert (np.diff(x) > -10).all() and (np.diff(degrees) > -10).all()
    np.testing.assert_allclose(degrees - degrees[-1], (x - x[-1]) * 50 / 260, atol=8)  # as she goes, so she turns
    assert pause.inner_text() == "Play again"
    pause.click()
    wait_for(tab, r"faces?\. \d+ ms a frame, \d+ frames a second")
    pause.click()
    wait_for(tab, "The video is paused")
    assert pause.inner_text() == "Continue"
    tab.wait_for_timeout(300)
    before = largest(tab)[0]
    tab.wait_for_timeout(300)
    np.testing.assert_array_equal(largest(tab)[0], before)
    stop.click()
    wait_for(tab, "The video is stopped")
    assert not pause.is_visible() and not stop.is_visible()
    assert errors == []


def test_a_chosen_video_gives_way_to_a_picture_and_a_camera(browser, address, webm, astronaut):
    tab, errors = opened(browser, address)
    tab.locator("#file").set_input_files({"name": "film.webm", "mimeType": "video/webm", "buffer": webm})
    wait_for(tab, r"faces?\. \d+ ms a frame")
    tab.locator("#file").set_input_files(png(astronaut))
    assert wait_for(tab, "in picture.png") == "One face in picture.png."
    assert not tab.locator("#pause").is_visible()
    tab.locator("#camera").click()
    wait_for(tab, r"faces?\. \d+ ms a frame")
    tab.locator("#file").set_input_files({"name": "none.webm", "mimeType": "video/webm", "buffer": b"no video"})
    wait_for(tab, "none.webm could not be played")
    assert tab.locator("#camera").get_attribute("aria-pressed") == "false"
    assert errors == []


def test_the_camera_shows_a_face_until_it_is_stopped(browser, address):
    tab, errors = opened(browser, address)
    camera = tab.locator("#camera")
    camera.click()
    wait_for(tab, r"faces?\. \d+ ms a frame, \d+ frames a second")
    assert camera.get_attribute("aria-pressed") == "true"
    box, p = largest(tab)
    assert p.sum() == pytest.approx(1, abs=1e-3)
    shown = "canvas => new Set(canvas.getContext('2d').getImageData(0, 100, canvas.width, 1).data).size"
    assert tab.locator("#picture").evaluate(shown) > 50  # a picture, not an empty canvas
    assert 640 / 2 - box[2] < box[0] < 640  # mirrored: she stands left of the middle
    camera.click()
    assert wait_for(tab, "camera is off")
    assert camera.get_attribute("aria-pressed") == "false"
    tab.wait_for_timeout(300)
    assert tab.locator("#status").inner_text() == "The camera is off."
    assert errors == []


def test_a_still_face_is_smoothed_at_every_rate_and_a_flat_crop_is_known(browser, address):
    tab, errors = opened(browser, address)
    about, before, after = "await (await fetch('about.json')).json()", np.eye(7)[0], np.eye(7)[3]

    def share(seconds: float, x: float, **named) -> float:
        """Of what was known of a face ``seconds`` ago, at 100, 100, once it is at ``x``."""
        known = {"x": 100, "y": 100, "side": 80, "probabilities": before.tolist()} | named
        face = {"x": x, "y": 100, "side": 80, "probabilities": after.tolist()}
        call = f"(await import('./faces.js')).smoothed([face], [known], seconds, {about})"
        (found,) = tab.evaluate(f"async ([face, known, seconds]) => {call}", [face, known, seconds])
        assert sum(found["probabilities"]) == pytest.approx(1)
        return found["probabilities"][0]

    assert [share(seconds, 102) for seconds in (1 / 30, 0.2, 1, 5)] == pytest.approx(
        [math.exp(-1 / 9), math.exp(-2 / 3), 1 / 3, 1 / 3]
    )
    assert share(1, 130) == pytest.approx(math.exp(-1 / 0.3)) and share(0.1, 200) == share(0.1, 100, flat=True) == 0
    for levels, flat in (([7] * 100, True), ([0, 3] * 50, True), ([0, 5] * 50, False)):
        call = f"(await import('./faces.js')).isFlat(Uint8Array.from(crop), ({about}).flat)"
        assert tab.evaluate(f"async (crop) => {call}", levels) is flat
    assert errors == []


def test_the_page_cannot_reach_anything_else(browser, address):
    """Whatever its scripts were to try: the page forbids it, and the browser holds it to that."""
    tab, _ = opened(browser, address)
    reached = []
    tab.on("requestfinished", lambda request: reached.append(request.url))
    tab.on("requestfailed", lambda request: request.failure == "csp" or reached.append(request.url))
    ways = {
        "fetch": "fetch(url).then(() => 'reached', () => 'refused')",
        "beacon": "Promise.resolve(navigator.sendBeacon(url, 'x')).then(() => 'refused')",
        "picture": "new Promise(end => { const image = new Image(); image.onload = () => end('reached'); "
        "image.onerror = () => end('refused'); image.src = url; })",
        "socket": "new Promise(end => { try { const socket = new WebSocket(url.replace('http', 'ws')); "
        "socket.onopen = () => end('reached'); socket.onerror = () => end('refused'); } catch { end('refused'); } })",
    }
    elsewhere = address.replace("localhost", "127.0.0.1")  # the same server, which would answer
    for way, code in ways.items():
        assert tab.evaluate(f"async (url) => {code}", elsewhere) == "refused", way
    assert reached == []


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


# ---- what fails


def test_a_camera_that_stops_says_so_and_can_be_used_again(browser, address):
    tab, errors = opened(browser, address)
    kept = "navigator.mediaDevices.getUserMedia = async (what) => (window.kept = await given(what))"
    tab.evaluate(f"() => {{ const given = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices); {kept}; }}")
    camera = tab.locator("#camera")
    for _ in range(2):
        camera.click()
        wait_for(tab, r"faces?\. \d+ ms a frame")
        tab.evaluate("() => kept.getVideoTracks()[0].dispatchEvent(new Event('ended'))")  # as when it is unplugged
        wait_for(tab, "The camera has stopped. Check that it is connected")
        assert camera.get_attribute("aria-pressed") == "false" and camera.inner_text() == "Use the camera"
        assert tab.evaluate("kept.getTracks().every((track) => track.readyState === 'ended')")
    assert errors == []


def test_a_camera_that_is_refused_or_sends_nothing_says_so(browser, address):
    tab, errors = opened(browser, address)
    refusing = "async () => { throw new DOMException('', 'NotAllowedError'); }"
    tab.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refusing}; }}")
    tab.locator("#camera").click()
    wait_for(tab, r"The camera could not be opened \(NotAllowedError\)\. Check that it is connected, free and allowed")
    silent = "async () => { const shown = document.createElement('canvas'); shown.getContext('2d'); " \
             "return shown.captureStream(0); }"  # fmt: skip
    tab.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {silent}; }}")
    tab.locator("#camera").click()
    wait_for(tab, "The camera sends no picture. Check that it is connected")
    tab.locator("#camera").click()
    wait_for(tab, "The camera is off")
    assert errors == []


@pytest.mark.parametrize("name", ["model.onnx", "about.json", "ort/ort-wasm-simd-threaded.wasm"])
@pytest.mark.parametrize("how", ["lacks", "is damaged"])
def test_a_file_of_the_page_that_lacks_or_is_damaged_is_said(browser, address, astronaut, name, how):
    tab, errors = browser.new_page(), []
    tab.set_default_timeout(120_000)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    answer = {"status": 404} if how == "lacks" else {"body": b"no network"}
    tab.route(f"**/{name}", lambda route: route.fulfill(**answer))
    tab.goto(address)
    wait_for(tab, r"The networks could not be loaded: .*Load the page again\.")
    tab.locator("#camera").click()
    tab.locator("#file").set_input_files(png(astronaut))
    tab.wait_for_timeout(500)
    assert tab.locator("#status").inner_text().startswith("The networks could not be loaded: ")
    assert tab.locator("#camera").get_attribute("aria-pressed") == "false" and errors == []


def test_a_network_that_fails_on_the_way_stops_the_camera_and_says_so(browser, address):
    tab, errors = opened(browser, address)
    tab.locator("#camera").click()
    wait_for(tab, r"faces?\. \d+ ms a frame")
    tab.evaluate("() => { CanvasRenderingContext2D.prototype.getImageData = () => { throw new Error('no memory'); }; }")
    wait_for(tab, "The camera could not be looked at any further: no memory")
    assert tab.locator("#camera").get_attribute("aria-pressed") == "false"
    assert errors == []


def test_memory_stays_flat_while_the_camera_is_on(browser, address):
    tab, errors = opened(browser, address)
    asked = tab.context.new_cdp_session(tab)
    asked.send("Performance.enable")
    tab.evaluate("""() => {
      window.frames_ = 0;
      new MutationObserver(() => { window.frames_ += 1; }).observe(
        document.getElementById("picture"), { attributes: true, attributeFilter: ["width"] });
    }""")
    tab.locator("#camera").click()

    def after(frames: int) -> dict[str, float]:
        """What the page has in use, once so many frames were shown."""
        tab.wait_for_function("(wanted) => window.frames_ >= wanted", arg=frames)
        asked.send("HeapProfiler.collectGarbage")
        return {each["name"]: each["value"] for each in asked.send("Performance.getMetrics")["metrics"]}

    before, then = after(30), after(200)
    assert then["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 3e6
    for name in ("Nodes", "JSEventListeners", "Documents"):
        assert then[name] - before[name] < 20, name
    assert errors == []

"""Fetching pretrained weights from a server on this machine: whole, in parts, damaged, and what is said of each."""

import hashlib
import http.server
import threading

import keras
import numpy as np
import pytest

from fer_lib import __main__, models, paths
from fer_lib.models import weights

CONTENT = np.random.default_rng(0).bytes(3 * 2**20 + 17)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under any name. ``breaks_off``: after so many bytes of an answer; ``ranges``: whether it knows
    them; ``asked``: what it was asked for."""

    breaks_off, ranges, asked = None, True, []

    def do_GET(self):
        start, asked = 0, self.headers.get("Range", "")
        self.asked.append((self.path, asked))
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:][: self.breaks_off])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(monkeypatch):
    """A server on loopback that has the weights of all five networks; its handler, to make it misbehave."""
    handler = type("Handler", (Server,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    here = f"http://127.0.0.1:{server.server_port}"
    sources = {}
    for name, source in weights.SOURCES.items():
        algorithm, _, pin = source.pin.partition(":")
        pinned = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()[: len(pin)]}"
        sources[name] = source._replace(url=f"{here}/models/{source.file}", pin=pinned)
    monkeypatch.setattr(weights, "SOURCES", sources)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def in_folder():
    return sorted(path.name for path in (paths.DATA / "weights").iterdir())


def test_all_five_are_fetched_checked_and_not_fetched_again(site, capsys):
    assert __main__.main(["weights"]) == 0
    assert in_folder() == sorted(source.file for source in weights.SOURCES.values())
    assert all((paths.DATA / "weights" / name).read_bytes() == CONTENT for name in in_folder())
    said = capsys.readouterr().out
    assert said.count(hashlib.sha256(CONTENT).hexdigest()) == 5
    for licence in ("unrestricted use", "Creative Commons Attribution", "MIT licence", "non-commercial research"):
        assert licence in said
    assert len(site.asked) == 5
    assert __main__.main(["weights", "--only", "vgg16,caffenet"]) == 0
    assert len(site.asked) == 5 and "resnet152" not in capsys.readouterr().out


def test_what_broke_off_goes_on_where_it_was(site, capsys):
    site.breaks_off = 2**20
    assert __main__.main(["weights", "--only", "caffenet"]) == 1
    said = capsys.readouterr().out
    assert f"broke off after 1,048,576 of {len(CONTENT):,} bytes; the same command continues" in said
    assert in_folder() == ["bvlc_reference_caffenet.caffemodel.partial"] and weights.find("caffenet") is None
    site.breaks_off = None
    assert __main__.main(["weights", "--only", "caffenet"]) == 0
    assert [asked for _, asked in site.asked] == ["", "bytes=1048576-"]
    assert weights.find("caffenet").read_bytes() == CONTENT
    assert in_folder() == ["bvlc_reference_caffenet.caffemodel"]


def test_a_server_that_knows_no_ranges_sends_all_again(site):
    site.breaks_off, site.ranges = 1000, False
    assert weights.fetch("vgg16") == 1
    site.breaks_off = None
    assert weights.fetch("vgg16") == 0
    assert weights.find("vgg16").read_bytes() == CONTENT


def test_what_came_whole_before_a_kill_is_only_checked(site):
    partial = paths.DATA / "weights" / f"{weights.SOURCES['resnet152'].file}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT)
    assert weights.fetch("resnet152") == 0
    assert not partial.exists() and weights.find("resnet152").read_bytes() == CONTENT


def test_other_bytes_than_the_owners_never_get_the_name(site, capsys):
    partial = paths.DATA / "weights" / f"{weights.SOURCES['googlenet'].file}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"<html>" + CONTENT[6:])
    assert weights.fetch("googlenet") == 1
    assert in_folder() == []
    pin = hashlib.sha256(CONTENT).hexdigest()[:8]
    assert f"expected {pin}, which its owners publish; delete it, then" in capsys.readouterr().out
    mine = paths.DATA / "weights" / weights.SOURCES["googlenet"].file
    mine.write_bytes(b"mine")
    assert weights.fetch("googlenet") == 1 and mine.read_bytes() == b"mine"


def test_without_a_network_it_is_told_what_to_do(monkeypatch, capsys):
    away = weights.SOURCES["vgg_face"]._replace(url="http://127.0.0.1:9/vgg-face.mat")
    monkeypatch.setattr(weights, "SOURCES", {"vgg_face": away})
    assert __main__.main(["weights"]) == 1
    said = capsys.readouterr().out
    assert "`make weights ONLY=vgg_face` fetches them from http://127.0.0.1:9/vgg-face.mat; or put vgg-face.mat" in said
    assert "rcmalli_vggface_tf_vgg16.h5 into" in said and "Still missing: vgg_face." in said
    assert __main__.main(["weights", "--only", "vgg19"]) == 1
    assert "weights: found 'vgg19', expected some of vgg_face" in capsys.readouterr().err


def test_a_file_that_somebody_has_is_taken(site):
    mine = paths.DATA / "weights" / "rcmalli_vggface_tf_vgg16.h5"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"in another form, which has no pin")
    assert weights.fetch("vgg_face") == 0
    assert site.asked == [] and weights.find("vgg_face") == mine


def test_without_a_file_it_is_told_how_to_get_one():
    network = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten()])
    with pytest.raises(FileNotFoundError, match="weights of vgg16: none are here; `make weights ONLY=vgg16` fetches"):
        weights.load(network, "vgg16")


def test_every_network_that_takes_weights_is_a_builder():
    assert set(weights.SOURCES) == set(models.TAKE_0_TO_255) < set(models.ARCHITECTURES)
    for source in weights.SOURCES.values():
        algorithm, _, digits = source.pin.partition(":")
        assert len(hashlib.new(algorithm).hexdigest()) >= len(digits) >= 8 and int(digits, 16)
        assert source.licence and source.url.startswith("http")

"""Networks without Keras: what ONNX Runtime and LiteRT predict is what Keras does, and other files are refused."""

import hashlib
import json
import subprocess
import sys

import made_up_network
import numpy as np
import pytest
from made_up_network import FACES, TEMPERATURE

from fer_lib.live import inference


@pytest.fixture(scope="module")
def network():
    return made_up_network.network()


@pytest.fixture(scope="module")
def expected(network):
    from fer_lib.evaluation import metrics
    from fer_lib.training import batches

    seen = batches.each_standardised(FACES)
    mirrored = np.ascontiguousarray(seen[:, :, ::-1])
    logits = (network.predict(seen, verbose=0) + network.predict(mirrored, verbose=0)) / 2
    return metrics.probabilities(logits / np.float32(TEMPERATURE))


@pytest.fixture
def file(network, tmp_path):
    from fer_lib.live import export

    path = tmp_path / "model.onnx"
    path.write_bytes(export.to_onnx(network, TEMPERATURE, {"experiment": "none"}))
    return path


def test_onnx_gives_what_keras_gives(file, expected):
    classifier = inference.load(file)
    assert classifier.emotions == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    found = classifier.classify(FACES)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4
    assert len(set(expected.argmax(axis=1))) > 3  # or nothing was shown
    np.testing.assert_allclose(classifier.classify(FACES[3:4]), found[3:4], atol=1e-6)
    assert classifier.classify(FACES[:0]).shape == (0, 7)


def test_a_face_and_its_mirror_image_get_one_prediction(file, network):
    from fer_lib.evaluation import metrics
    from fer_lib.live import export

    classifier, mirrored = inference.load(file), np.ascontiguousarray(FACES[:, :, ::-1])
    np.testing.assert_allclose(classifier.classify(mirrored), classifier.classify(FACES), atol=1e-5)
    computed = metrics.probabilities(export.view_logits(network, FACES).mean(axis=0) / np.float32(TEMPERATURE))
    np.testing.assert_allclose(classifier.classify(FACES), computed, atol=1e-4)


def test_brightness_and_contrast_make_no_difference(file):
    classifier, even = inference.load(file), FACES // 2 * 2
    np.testing.assert_allclose(classifier.classify(even // 2 + 60), classifier.classify(even), atol=0.01)
    assert np.isfinite(classifier.classify(np.full((1, 48, 48), 9, np.uint8))).all()


@pytest.mark.slow
def test_litert_in_8_bits_predicts_nearly_as_keras(network, expected, tmp_path):
    pytest.importorskip("tensorflow", reason="TensorFlow converts to LiteRT, and is not installed")
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    from fer_lib.live import export
    from fer_lib.training import batches

    path = tmp_path / "model.tflite"
    path.write_bytes(export.to_litert(network, TEMPERATURE, batches.each_standardised(FACES)))
    found = inference.load(path).classify(FACES)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.abs(found - expected).mean() < 0.03
    first, second = np.sort(expected, axis=1)[:, :-3:-1].T
    sure = first - second > 0.1  # between two that are as likely 8 bits may choose the other
    assert sure.sum() >= 10 and (found.argmax(axis=1) == expected.argmax(axis=1))[sure].all()
    assert path.stat().st_size < 60_000  # 27,000 weights
    assert inference.load(path).classify(FACES[:0]).shape == (0, 7)


@pytest.mark.parametrize(
    ("faces", "error", "message"),
    [
        (FACES.astype(np.float32), TypeError, "faces: found float32, expected an array of uint8"),
        (FACES.tolist(), TypeError, "faces: found list, expected an array of uint8"),
        (FACES[0], ValueError, r"faces: found shape \(48, 48\), expected \(k, 48, 48\)"),
        (FACES[:, :40], ValueError, r"faces: found shape \(20, 40, 48\)"),
        (FACES[..., None], ValueError, r"faces: found shape \(20, 48, 48, 1\)"),
    ],
)
def test_other_faces_are_refused(file, faces, error, message):
    with pytest.raises(error, match=message):
        inference.load(file).classify(faces)


def test_a_file_that_crashes_litert_is_refused(tmp_path, monkeypatch):
    """A ``litert`` in the working folder, which ran in its place, is not asked."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    content = bytearray(inference.MODEL.with_name("model.int8.tflite").read_bytes())
    for place in (18, 20, 22, 24):
        content[place] = 0
    (tmp_path / "model.tflite").write_bytes(content)
    (tmp_path / "ai_edge_litert.py").write_text("open('was_run', 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="model.tflite: found damage that crashes LiteRT, or never lets it end"):
        inference.load(tmp_path / "model.tflite")
    assert not (tmp_path / "was_run").exists()


def test_a_file_that_is_no_such_network_is_refused(file, tmp_path):
    onnx = pytest.importorskip("onnx")
    with pytest.raises(FileNotFoundError, match="none.onnx: found no such file, .*; give the path of one"):
        inference.load(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="found a .h5 file, expected .onnx or .tflite"):
        file.with_suffix(".h5").write_bytes(b"")
        inference.load(file.with_suffix(".h5"))
    model = onnx.load(file)
    for entry in model.metadata_props:
        if entry.key == "emotions":
            entry.value = "anger,contempt,disgust,fear,happy,neutral,sad"
    onnx.save(model, file)
    with pytest.raises(ValueError, match="found the emotions anger,contempt,.*, expected angry,disgust"):
        inference.load(file)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 64
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    onnx.save(model, file)
    with pytest.raises(ValueError, match=r"found .*, 64, 64\).*, expected \(k, 48, 48\) uint8 in"):
        inference.load(file)
    for name, engine in {"x.onnx": "ONNX Runtime", "X.ONNX": "ONNX Runtime", "x.tflite": "LiteRT"}.items():
        if engine == "LiteRT":
            pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
        for content in (b"", b"no network", bytes(1000), b"\x1c\0\0\0TFL3" + bytes(range(256))):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(
                ValueError, match=f"{name}: found no network that {engine} reads .*, expected one; `make"
            ):
                inference.load(tmp_path / name)


def test_damage_is_a_value_error_that_names_the_file(file):
    """Whatever bytes change: it is refused when it is loaded or used, or predicts numbers."""
    content, rng, refused = file.read_bytes(), np.random.default_rng(0), 0
    for place in rng.choice(len(content), 60, replace=False):
        file.write_bytes(content[:place] + bytes(rng.integers(0, 256, 4, np.uint8)) + content[place + 4 :])
        try:
            assert np.isfinite(inference.load(file).classify(FACES)).all()
        except ValueError as error:
            assert str(error).startswith(f"{file}: found ") and ", expected " in str(error)
            refused += 1
    assert refused > 2


def nan(network):
    """The network with one weight that is no number, far from its end."""
    broken = network.__class__.from_config(network.get_config())
    weights = network.get_weights()
    weights[0] = np.full_like(weights[0], np.nan)
    broken.set_weights(weights)
    return broken


def test_predictions_that_are_no_numbers_are_refused(network, tmp_path):
    """They would be read as angry."""
    from fer_lib.live import export

    path = tmp_path / "model.onnx"
    path.write_bytes(export.to_onnx(nan(network), TEMPERATURE, {}))
    expected = r"found 20 of 20 predictions with NaN or infinite numbers, expected finite ones; its weights are damaged"
    with pytest.raises(ValueError, match=f"model.onnx: {expected}"):
        inference.load(path).classify(FACES)
    path = tmp_path / "network.keras"
    nan(network).save(path)
    with pytest.raises(ValueError, match="network.keras: found NaN or infinite weights in .*kernel, expected finite"):
        export.trained(path, "small_vgg", {"width": 8})


def test_a_kept_network_that_is_damaged_or_of_another_kind_is_named(network, tmp_path):
    from fer_lib.live import export

    path = tmp_path / "network.keras"
    network.save(path)
    assert len(export.trained(path, "small_vgg", {"width": 8}).get_weights()) == len(network.get_weights())
    with pytest.raises(ValueError, match="network.keras: found another network .*, expected small_vgg with"):
        export.trained(path, "small_vgg", {"width": 16})
    for content in (b"", b"PK\x03\x04", path.read_bytes()[:-3000]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="network.keras: found no network that Keras loads .*, expected one"):
            export.trained(path, "small_vgg", {"width": 8})


def test_the_shipped_file_must_be_the_one_of_its_card(file, monkeypatch):
    monkeypatch.setattr(inference, "MODEL", file)
    card = file.with_suffix(".json")
    card.write_text(json.dumps({"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}))
    assert inference.load().classify(FACES).shape == (20, 7)
    card.write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(ValueError, match="found SHA-256 .*, expected 0000.*; restore it from git"):
        inference.load()
    file.unlink()
    with pytest.raises(FileNotFoundError, match="`make live-model` trains and writes it"):
        inference.load()


def test_no_engine_and_no_plotting_is_in_memory(file):
    heavy = ["keras", "tensorflow", "jax", "pandas", "matplotlib", "sklearn", "scipy"]
    code = (
        f"import sys, numpy; from pathlib import Path; from fer_lib.live import inference\n"
        f"inference.load(Path({str(file)!r})).classify(numpy.zeros((1, 48, 48), numpy.uint8))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_layer_that_cannot_be_written_is_named(network):
    import keras

    from fer_lib.live import export

    flat = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(name="flat"), keras.layers.Dense(7)])
    with pytest.raises(ValueError, match="flat: found a Flatten, expected a layer that can be written"):
        export.to_onnx(flat, 1.0, {})
    curved = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Conv2D(2, 3, activation="gelu", name="curved")])
    with pytest.raises(ValueError, match="curved: found the activation gelu"):
        export.to_onnx(curved, 1.0, {})

"""Owners' files into Keras: what is read of each format, and the same outputs as its own program gives."""

import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import cv2
import h5py
import keras
import numpy as np
import pytest
from made_up_weights import CAFFENET, caffemodel, matconvnet, original, torch_file

from fer_lib.models import weight_files

RNG = np.random.default_rng(0)


def sampled(*shape, gain=1.0):
    """Numbers that keep what passes through a layer of this shape (its inputs last) about as large as it was."""
    return RNG.normal(0, gain * (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)


# ---- PyTorch's format

TENSORS = {
    "conv1.conv.weight": sampled(4, 3, 7, 7),
    "conv1.bn.weight": sampled(4), "conv1.bn.bias": sampled(4),
    "conv1.bn.running_mean": sampled(4), "conv1.bn.running_var": np.abs(sampled(4)),
    "conv1.bn.num_batches_tracked": np.array(7),
    "aux1.fc1.weight": sampled(3, 5), "aux1.fc1.bias": sampled(3),
    "fc.weight": np.asfortranarray(sampled(10, 6)),  # kept column by column, as a transposed tensor is
    "fc.bias": sampled(10),
}  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
def test_tensors_come_out_as_they_went_in(tmp_path, old):
    found = weight_files.torch_tensors(torch_file(tmp_path / "x.pth", TENSORS, old))
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape


@pytest.mark.parametrize("old", [False, True])
def test_convolutions_normalisation_and_head_of_torchvision_in_keras_order(tmp_path, old):
    found = weight_files.read(torch_file(tmp_path / "googlenet.pth", TENSORS, old))
    assert list(found) == ["conv1.conv", "conv1.bn", "logits"]
    np.testing.assert_array_equal(found["conv1.conv"][0][2, 5, 1, 3], TENSORS["conv1.conv.weight"][3, 1, 2, 5])
    kinds = ("weight", "bias", "running_mean", "running_var")
    for array, kind in zip(found["conv1.bn"], kinds, strict=True):
        np.testing.assert_array_equal(array, TENSORS[f"conv1.bn.{kind}"])
    np.testing.assert_array_equal(found["logits"][0], TENSORS["fc.weight"].T)


class Evil:
    """A pickle that would write a file, if anything in it were called."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("old", [False, True])
def test_nothing_in_a_file_is_called(tmp_path, old):
    path = torch_file(tmp_path / "x.pth", TENSORS, old, Evil(tmp_path / "made"))
    with pytest.raises(ValueError, match=r"x.pth: found UnpicklingError: it names posix.mkdir, which has no place"):
        weight_files.torch_tensors(path)
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "made")))  # it would have
    assert (tmp_path / "made").exists()


def test_a_tensor_never_reaches_beyond_its_numbers(tmp_path):
    path = torch_file(tmp_path / "x.pth", {"w": sampled(4, 4)}, old=False)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content[:40] if name.endswith("/0") else content)
    with pytest.raises(ValueError, match="x.pth: found .*expected a state dictionary .* fetch the file again"):
        weight_files.torch_tensors(path)


@pytest.mark.parametrize("content", [b"", b"<html>moved</html>", pickle.dumps({"a": 1}), pickle.dumps([1, 2])])
def test_what_is_no_state_dictionary_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match="x.pth: found"):
        weight_files.torch_tensors(tmp_path / "x.pth")


# ---- Caffe's, MatConvNet's and Keras' formats


@pytest.mark.parametrize("old", [False, True])
def test_caffe_layers_in_keras_order(tmp_path, old):
    shapes = {name: (2, 3, 2, 2) for name in CAFFENET if name.startswith("conv")}
    shapes |= {"fc6": (4096, 256 * 4), "fc7": (4096, 5), "fc8": (1000, 6)}
    layers = {name: [sampled(*shape), sampled(shape[0])] for name, shape in shapes.items()}
    found = weight_files.read(caffemodel(tmp_path / "x.caffemodel", layers, old))
    assert list(found) == [*list(CAFFENET)[:-1], "logits"]
    np.testing.assert_array_equal(found["conv2"][0], layers["conv2"][0].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(found["logits"][0], layers["fc8"][0].T)
    np.testing.assert_array_equal(found["fc7"][1], layers["fc7"][1])
    picture = sampled(256, 2, 2)  # as Caffe has it: channels first
    ours = picture.transpose(1, 2, 0).reshape(-1) @ found["fc6"][0]
    np.testing.assert_allclose(ours, layers["fc6"][0] @ picture.reshape(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["vgg-face", "net", "filters"])
def test_matconvnet_layers_in_keras_order(tmp_path, form):
    layers = {
        "conv1_1": [sampled(3, 3, 3, 4), sampled(4)], "fc6": [sampled(2, 2, 4, 5), sampled(5)],
        "fc8": [sampled(1, 1, 5, 6), sampled(6)],
    }  # fmt: skip
    found = weight_files.read(matconvnet(tmp_path / "x.mat", layers, form))
    assert list(found) == ["conv1_1", "fc6", "logits"]
    np.testing.assert_array_equal(found["conv1_1"][0], layers["conv1_1"][0][:, :, [2, 1, 0]])
    np.testing.assert_array_equal(found["fc6"][0], layers["fc6"][0].reshape(16, 5))
    np.testing.assert_array_equal(found["logits"][0], layers["fc8"][0][0, 0])
    for name, theirs in (("conv1_1", "conv1_1"), ("fc6", "fc6"), ("logits", "fc8")):
        np.testing.assert_array_equal(found[name][1], layers[theirs][1])


def small(head: int, name: str = "predictions") -> keras.Model:
    stack = [keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3, name="block1_conv1")]
    stack += [keras.layers.BatchNormalization(name="bn"), keras.layers.Flatten(name="flatten")]
    return keras.Sequential([*stack, keras.layers.Dense(head, name=name)])


@pytest.mark.parametrize("whole", [False, True])
def test_keras_files_of_weights_and_of_whole_models(tmp_path, whole):
    source, target = small(10), small(7, "logits")
    for array in source.weights:
        array.assign(sampled(*array.shape) ** 2)
    path = tmp_path / "x.h5"
    if whole:
        source.save(path)
    else:
        legacy = pytest.importorskip("keras.src.legacy.saving.legacy_h5_format")
        with h5py.File(path, "w") as file:
            legacy.save_weights_to_hdf5_group(file, source)
    fresh = target.get_layer("logits").get_weights()
    weight_files.assign(target, weight_files.read(path), path.name)
    for name in ("block1_conv1", "bn"):
        for array, wanted in zip(
            target.get_layer(name).get_weights(), source.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(array, wanted)
    np.testing.assert_array_equal(target.get_layer("logits").get_weights()[0], fresh[0])  # of other classes
    same = small(10, "logits")
    weight_files.assign(same, weight_files.read(path), path.name)
    np.testing.assert_array_equal(
        same.get_layer("logits").get_weights()[0], source.get_layer("predictions").get_weights()[0]
    )


def test_what_does_not_fit_is_refused_by_layer():
    network, found = small(7, "logits"), {"logits": [np.zeros((64, 7)), np.zeros(7)]}
    found |= {"block1_conv1": [np.zeros((3, 3, 3, 4)), np.zeros(4)], "bn": [np.zeros(4)] * 4}
    with pytest.raises(ValueError, match="x.h5: found no layer bn, expected those of"):
        weight_files.assign(network, {name: value for name, value in found.items() if name != "bn"}, "x.h5")
    with pytest.raises(ValueError, match="x.h5: found a layer other, expected those of"):
        weight_files.assign(network, found | {"other": []}, "x.h5")
    with pytest.raises(ValueError, match=r"x.h5, layer bn: found shapes \[\(5,\).*published `side` only"):
        weight_files.assign(network, found | {"bn": [np.zeros(5)] * 4}, "x.h5")
    weight_files.assign(network, found, "x.h5")


@pytest.mark.parametrize("ending", sorted(weight_files.READERS))
def test_a_page_in_place_of_a_file_is_refused_by_name(tmp_path, ending):
    (tmp_path / f"x{ending}").write_bytes(b"<!DOCTYPE html><title>Moved</title>" * 99)
    with pytest.raises(ValueError, match=rf"x\{ending}: found .*; fetch the file again"):
        weight_files.read(tmp_path / f"x{ending}")


# ---- the same outputs as the owners' programs, layer by layer


def outputs(network: keras.Model, names: list[str], pictures: np.ndarray) -> dict[str, np.ndarray]:
    layers = keras.Model(network.input, {name: network.get_layer(name).output for name in names})
    return {name: keras.ops.convert_to_numpy(value) for name, value in layers(pictures, training=False).items()}


def assert_alike(ours: np.ndarray, theirs: np.ndarray):
    """To 1e-4 of the largest output of the layer, which is between 0.1 and 100."""
    assert ours.shape == theirs.shape
    assert 0.1 < (largest := np.abs(theirs).max()) < 100
    assert np.abs(ours - theirs).max() < 1e-4 * largest


@pytest.mark.slow
def test_caffenet_computes_as_opencv_runs_the_same_file(tmp_path):
    layers = {name: [sampled(*shape), sampled(shape[0]) * 0.1] for name, shape in CAFFENET.items()}
    layers["conv1"][0] /= 60
    path = caffemodel(tmp_path / "x.caffemodel", layers, old=True)
    network = original("caffenet")
    weight_files.assign(network, weight_files.read(path), path.name)
    pictures = RNG.uniform(-120, 130, (1, 227, 227, 3)).astype(np.float32)
    prototxt = Path(weight_files.__file__).with_name("caffenet.prototxt")
    net = cv2.dnn.readNetFromCaffe(str(prototxt), str(path))
    net.setInput(pictures.transpose(0, 3, 1, 2).copy())
    names = ["pool1", "norm1", "pool2", "norm2", "pool5", "fc6", "fc7", "logits"]
    theirs = net.forward(["fc8" if name == "logits" else name for name in names])
    for name, value in outputs(network, names, pictures).items():
        wanted = theirs[names.index(name)]
        wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted
        if name in ("fc6", "fc7"):
            wanted = np.maximum(wanted, 0)
        assert_alike(value, wanted)


@pytest.mark.slow
def test_vgg_face_computes_as_its_layers_say(tmp_path):
    """At 64 pixels, against convolutions of NumPy's own."""
    theirs, filters = {}, ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
    before = 3
    for block, widths in enumerate(filters, 1):
        for k, width in enumerate(widths, 1):
            kernel = sampled(width, 3, 3, before).transpose(1, 2, 3, 0)
            theirs[f"conv{block}_{k}"], before = [kernel, sampled(width) * 0.1], width
    for name, size, width in (("fc6", 2, 4096), ("fc7", 1, 4096), ("fc8", 1, 2622)):
        theirs[name] = [sampled(width, size, size, before).transpose(1, 2, 3, 0), sampled(width) * 0.1]
        before = width
    path = matconvnet(tmp_path / "vgg_face.mat", theirs, "net")
    network = original("vgg_face", side=64)
    weight_files.assign(network, weight_files.read(path), path.name)

    red_first = RNG.normal(0, 1, (64, 64, 3)).astype(np.float32)
    ours = outputs(network, [*list(theirs)[:-1], "logits"], red_first[None, :, :, ::-1])
    x = red_first
    for name, (kernel, bias) in theirs.items():
        if name.startswith("fc"):
            x = np.tensordot(x, kernel, 3) + bias if x.ndim == 3 else x @ kernel[0, 0] + bias
        else:
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), (0, 1))
            x = np.tensordot(windows, kernel.transpose(2, 0, 1, 3), 3) + bias
        x = x if name == "fc8" else np.maximum(x, 0)
        assert_alike(ours["logits" if name == "fc8" else name][0], x)
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            x = x.reshape(x.shape[0] // 2, 2, -1, 2, x.shape[2]).max(axis=(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "resnet152"])
def test_keras_own_networks_compute_as_keras_loads_them(tmp_path, name):
    build = {"vgg16": keras.applications.VGG16, "resnet152": keras.applications.ResNet152}[name]
    side = 32
    source = build(weights=None, input_shape=(side, side, 3), classifier_activation=None)
    for layer in source.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.set_weights([RNG.uniform(0.2, 0.6, size), sampled(size), sampled(size), RNG.uniform(0.5, 2, size)])
    source.save(tmp_path / "x.h5")
    network = original(name, side=side)
    weight_files.assign(network, weight_files.read(tmp_path / "x.h5"), "x.h5")
    pictures = RNG.normal(0, 60, (2, side, side, 3)).astype(np.float32)
    theirs = keras.ops.convert_to_numpy(source(pictures, training=False))
    ours = keras.ops.convert_to_numpy(network(pictures, training=False))
    assert np.abs(theirs).max() > 1e-3
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


TORCH = """
import sys
import numpy as np, torch, torchvision

torch.manual_seed(0)
torch.set_num_threads(1)
network = torchvision.models.googlenet(weights=None, init_weights=False, transform_input=True)
for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        torch.nn.init.uniform_(module.weight, 0.5, 1.5); torch.nn.init.normal_(module.bias, 0, 0.2)
        torch.nn.init.normal_(module.running_mean, 0, 0.2); torch.nn.init.uniform_(module.running_var, 0.2, 1)
torch.nn.init.normal_(network.fc.weight, 0, 0.05)
network.eval()
folder = sys.argv[1]
torch.save(network.state_dict(), f"{folder}/new.pth")
torch.save(network.state_dict(), f"{folder}/old.pth", _use_new_zipfile_serialization=False)
pixels = np.load(f"{folder}/pixels.npy")
mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
x = torch.tensor(((pixels / 255 - mean) / deviation).transpose(0, 3, 1, 2), dtype=torch.float32)
found = {}
for name, module in network.named_children():
    if not name.startswith("aux"):
        module.register_forward_hook(lambda m, i, out, name=name: found.update({name: out.numpy()}))
with torch.no_grad():
    network(x)
np.savez(f"{folder}/found.npz", **found)
"""


@pytest.fixture(scope="module")
def torchvision(tmp_path_factory) -> Path:
    """A folder of what a torchvision of the system's Python wrote; skipped where there is none."""
    python = os.environ.get("FER_TEST_TORCH", "/usr/bin/python3")
    has = [python, "-c", "import torchvision"]
    if not Path(python).exists() or subprocess.run(has, capture_output=True).returncode:
        pytest.skip(f"{python} has no torchvision: `make torch`, or set FER_TEST_TORCH to a Python that has")
    folder = tmp_path_factory.mktemp("torchvision")
    np.save(folder / "pixels.npy", RNG.uniform(0, 255, (1, 224, 224, 3)).astype(np.float32))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([python, "-c", TORCH, str(folder)], check=True, env=environment)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("file", ["new.pth", "old.pth"])
def test_googlenet_computes_as_torchvision_does(torchvision, file):
    network = original("googlenet")
    weight_files.assign(network, weight_files.read(torchvision / file), file)
    with np.load(torchvision / "found.npz") as arrays:
        theirs = {name: arrays[name] for name in arrays.files}
    names = {name: {"fc": "logits"}.get(name, name) for name in theirs}
    names |= {name: f"{name}.relu" for name in ("conv1", "conv2", "conv3")}
    pixels = np.load(torchvision / "pixels.npy")
    ours = outputs(network, list(names.values()), pixels / 127.5 - 1)
    for name, wanted in theirs.items():
        if wanted.ndim == 4:
            wanted = wanted.transpose(0, 2, 3, 1) if name != "avgpool" else wanted[:, :, 0, 0]
        assert_alike(ours[names[name]], wanted)
    assert len(theirs) == 19


# ---- damage


def keras_file(path: Path) -> Path:
    """Weights of a small network as Keras 2 saved them."""
    network = small(10)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [variable.path.replace("/", "_").encode() for variable in layer.weights]
            group.attrs["weight_names"] = names
            for name, variable in zip(names, layer.weights):
                group[name] = np.asarray(variable)
    return path


MAT = {"conv1_1": [sampled(3, 3, 3, 4), sampled(4)], "fc8": [sampled(1, 1, 5, 6), sampled(6)]}
FILES = {
    "new.pth": lambda path: torch_file(path, TENSORS, False),
    "old.pth": lambda path: torch_file(path, TENSORS, True),
    "x.h5": keras_file,
    "x.mat": lambda path: matconvnet(path, MAT, "net"),
}


@pytest.mark.parametrize("name", FILES)
def test_damage_is_a_value_error_that_names_the_file(tmp_path, name):
    """Whatever bytes are missing or others: it is refused, or gives finite numbers. Nothing hangs or crashes."""
    content, rng = FILES[name](tmp_path / name).read_bytes(), np.random.default_rng(0)
    whole = weight_files.read(tmp_path / name)
    assert {"logits"} < whole.keys()
    few = name.endswith(weight_files.REHEARSED)  # each in a process of its own
    damaged = [content[:cut] for cut in rng.choice(len(content), 1 if few else 50)]
    for place in rng.choice(len(content), 2 if few else 400):
        damaged.append(content[:place] + bytes(rng.integers(0, 256, 4, np.uint8)) + content[place + 4 :])
    refused = 0
    for each in damaged:
        (tmp_path / name).write_bytes(each)
        try:
            assert all(
                np.isfinite(array).all() for parts in weight_files.read(tmp_path / name).values() for array in parts
            )
        except ValueError as error:
            assert str(error).startswith(name) and ": found " in str(error) and ", expected " in str(error)
            refused += 1
    assert refused >= (1 if few else 50)


@pytest.mark.parametrize("then", ["import os; os.abort()", "while True: pass"])
def test_a_reader_that_crashes_or_never_ends_takes_nobody_with_it(tmp_path, monkeypatch, then):
    path = keras_file(tmp_path / "x.h5")
    rehearsal = weight_files.REHEARSAL.partition("weight_files.READERS")[0]
    monkeypatch.setattr(weight_files, "REHEARSAL", f"{rehearsal}\n{then}")
    monkeypatch.setattr(weight_files, "LONGEST", 1)
    with pytest.raises(
        ValueError, match="x.h5: found damage that crashes its reader, or never lets it end, expected a w"
    ):
        weight_files.read(path)
    assert weight_files.read(path, known=True)


def test_what_claims_more_than_fits_is_refused_unread(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["layer_names"] = [b"fc"]
        file.create_group("fc").attrs["weight_names"] = [b"kernel"]
        file["fc"].create_dataset("kernel", (10**6, 10**6), "f4", chunks=(100, 100))  # nothing of it is stored
    with pytest.raises(
        ValueError, match="x.h5: found ValueError: an array of 4,000,000,000,000 bytes, where .* are the"
    ):
        weight_files.read(tmp_path / "x.h5")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, wrong):
    tensors = TENSORS | {"conv1.bn.running_var": np.array([1, wrong, 1, 1], np.float32)}
    path = torch_file(tmp_path / "x.pth", tensors, False)
    with pytest.raises(
        ValueError, match="x.pth, layer conv1.bn: found .* NaN or infinite numbers, expected finite ones"
    ):
        weight_files.read(path)


def test_the_ending_counts_in_any_case_and_others_are_named(tmp_path):
    path = torch_file(tmp_path / "X.PTH", TENSORS, False)
    assert "logits" in weight_files.read(path)
    with pytest.raises(
        ValueError, match="x.zip: found the ending '.zip', expected one of .h5, .pth, .caffemodel, .mat"
    ):
        weight_files.read(tmp_path / "x.zip")
    with pytest.raises(FileNotFoundError):
        weight_files.read(tmp_path / "none.pth")

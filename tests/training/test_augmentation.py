"""Random changes of training faces. Runs under every Keras backend."""

import keras
import numpy as np
import pytest

from fer_lib.training import augmentation, protocol


@pytest.mark.parametrize(
    "name",
    [
        "flip", "flip and affine", "flip, affine and erasing", "geometry", "geometry and erasing", "geometry and light",
        "geometry, erasing and light", "perturbation",
    ],
)  # fmt: skip
def test_augmentation_changes_faces_in_training_and_none_in_prediction(name):
    same = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Activation("linear")])
    assert augmentation.augmented(same, "none") is same
    network = augmentation.augmented(same, name)
    assert network.count_params() == 0
    faces = np.random.default_rng(0).uniform(0, 255, (40, 48, 48, 1)).astype(np.float32)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(network(faces, training=False)), faces)
    shown = keras.ops.convert_to_numpy(network(faces, training=True))
    assert shown.shape == faces.shape
    mirrored = (shown == faces[:, :, ::-1]).all(axis=(1, 2, 3)).sum()
    kept = (shown == faces).all(axis=(1, 2, 3)).sum()
    if name == "flip":
        assert mirrored + kept == 40
        assert mirrored > 5
        assert kept > 5
    else:
        assert mirrored + kept < 5
    again = keras.ops.convert_to_numpy(network(faces, training=True))
    assert (shown != again).any()


def test_erasing_blackens_a_part_of_every_other_face():
    same = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Activation("linear")])
    network = augmentation.augmented(same, "flip, affine and erasing")
    shown = keras.ops.convert_to_numpy(network(np.ones((200, 48, 48, 1), np.float32), training=True))
    share = (shown == 0).mean(axis=(1, 2, 3))
    assert 60 < (share > 0).sum() < 140
    assert share.max() < 0.25


FACES = np.random.default_rng(0).uniform(-2, 2, (4, 48, 48, 1)).astype(np.float32)
STILL = {"mirror": 0.9, "angle": 0.0, "zoom": 1.0, "right": 0.0, "down": 0.0}


def pinned(layer, monkeypatch, faces, *numbers) -> np.ndarray:
    """The faces changed by these numbers, in the order in which the layer asks for random ones."""
    numbers = iter(numbers)

    def between(self, faces, low, high):
        return keras.ops.full((len(faces), 1, 1, 1), next(numbers), "float32")

    monkeypatch.setattr(type(layer), "between", between)
    return keras.ops.convert_to_numpy(layer(faces, training=True))


def moved(monkeypatch, **fields) -> np.ndarray:
    return pinned(augmentation.Geometry(), monkeypatch, FACES, *(STILL | fields).values())


def test_geometry_that_does_nothing_leaves_faces_and_mirrors_exactly(monkeypatch):
    np.testing.assert_array_equal(moved(monkeypatch), FACES)
    np.testing.assert_array_equal(moved(monkeypatch, mirror=0.1), FACES[:, :, ::-1])


@pytest.mark.parametrize(("right", "down"), [(3, 0), (-3, 0), (0, 3), (0, -3), (3, -3)])
def test_geometry_shifts_by_whole_pixels_exactly_and_edges_go_on(monkeypatch, right, down):
    rows, columns = (np.arange(48) + down).clip(0, 47), (np.arange(48) + right).clip(0, 47)
    expected = FACES[:, rows][:, :, columns]
    np.testing.assert_array_equal(moved(monkeypatch, right=right / 48, down=down / 48), expected)


def test_geometry_turns_about_the_middle(monkeypatch):
    turned = moved(monkeypatch, angle=np.pi / 2)
    either = [np.abs(turned - np.rot90(FACES, k, axes=(1, 2))).max() for k in (1, 3)]
    assert min(either) < 1e-3 < max(either)
    other = moved(monkeypatch, angle=np.pi / 2, mirror=0.1)
    assert min(np.abs(other - np.rot90(FACES, k, axes=(1, 2))[:, :, ::-1]).max() for k in (1, 3)) < 1e-3


def test_geometry_scales_about_the_middle(monkeypatch):
    ramp = np.broadcast_to(np.arange(48, dtype=np.float32)[None, None, :, None], (1, 48, 48, 1))
    larger = pinned(augmentation.Geometry(), monkeypatch, ramp, *(STILL | {"zoom": 2.0}).values())
    np.testing.assert_allclose(larger[0, 5, :, 0], 23.5 + (np.arange(48) - 23.5) / 2, atol=1e-4)
    smaller = pinned(augmentation.Geometry(), monkeypatch, ramp, *(STILL | {"zoom": 0.5}).values())
    np.testing.assert_allclose(smaller[0, 5, :, 0], (23.5 + (np.arange(48) - 23.5) * 2).clip(0, 47), atol=1e-4)


def test_geometry_asks_for_the_ranges_that_it_tells(monkeypatch):
    asked = []

    def between(self, faces, low, high):
        asked.append((low, high))
        return keras.ops.full((len(faces), 1, 1, 1), (low + high) / 2, "float32")

    monkeypatch.setattr(augmentation.Geometry, "between", between)
    augmentation.Geometry()(FACES, training=True)
    ten_degrees = np.deg2rad(10)
    np.testing.assert_allclose(asked, [(0, 1), (-ten_degrees, ten_degrees), (0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1)])


def test_geometry_changes_each_face_by_itself_and_adds_no_grey_level():
    same = np.repeat(FACES[:1], 30, axis=0)
    shown = keras.ops.convert_to_numpy(augmentation.Geometry()(same, training=True))
    assert len({face.tobytes() for face in shown}) == 30
    assert shown.min() >= same.min() - 1e-4 and shown.max() <= same.max() + 1e-4
    assert np.isfinite(shown).all()


def test_geometry_mirrors_every_other_face():
    ramp = np.broadcast_to(np.arange(48, dtype=np.float32)[None, None, :, None], (400, 48, 48, 1))
    shown = keras.ops.convert_to_numpy(augmentation.Geometry()(ramp, training=True))
    mirrored = (shown[:, 24, 0, 0] > shown[:, 24, -1, 0]).mean()
    assert 0.4 < mirrored < 0.6


def lit(monkeypatch, faces, gamma=0.3, contrast=-0.15, brightness=0.1) -> np.ndarray:
    return pinned(augmentation.Light(), monkeypatch, faces, gamma, contrast, brightness)


@pytest.mark.parametrize("gamma", [-0.4, 0.4])
def test_light_keeps_the_order_of_grey_levels(monkeypatch, gamma):
    shown = lit(monkeypatch, FACES, gamma)
    for before, after in zip(FACES, shown):
        order = before.ravel().argsort()
        assert (np.diff(after.ravel()[order]) >= -1e-6).all()
    assert np.abs(shown - FACES).max() > 0.1


def test_light_is_gamma_contrast_and_brightness_of_the_face_itself(monkeypatch):
    shown = lit(monkeypatch, FACES)
    low, high = (f(FACES, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    bent = low + (high - low) * ((FACES - low) / (high - low)) ** np.exp(0.3)
    mean, deviation = (f(bent, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(shown, mean + np.exp(-0.15) * (bent - mean) + 0.1 * deviation, atol=1e-4)


@pytest.mark.parametrize(("width", "shift"), [(255.0, 0.0), (0.01, 3.0), (50.0, -7.0)])
def test_light_is_the_same_whatever_pixels_are_scaled_to(monkeypatch, width, shift):
    scaled = lit(monkeypatch, width * FACES + np.float32(shift))
    np.testing.assert_allclose(scaled, width * lit(monkeypatch, FACES) + shift, atol=1e-4 * width, rtol=1e-4)


def test_light_leaves_a_flat_face_as_it_is():
    flat = np.stack([np.full((48, 48, 1), value, np.float32) for value in (0, 0.5, 255)])
    shown = keras.ops.convert_to_numpy(augmentation.Light()(flat, training=True))
    np.testing.assert_allclose(shown, flat, atol=1e-3)


def test_light_changes_each_face_by_itself_within_its_ranges():
    same = np.repeat(FACES[:1], 30, axis=0)
    shown = keras.ops.convert_to_numpy(augmentation.Light()(same, training=True))
    assert len({face.tobytes() for face in shown}) == 30
    spread = shown.std(axis=(1, 2, 3)) / FACES[0].std()
    assert (spread > 0.7).all() and (spread < 1.35).all() and spread.std() > 0.02


def test_the_names_say_which_changes_there_are():
    same = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Activation("linear")])
    kinds = {
        name: [type(layer).__name__ for layer in augmentation.augmented(same, name).layers[:-1]]
        for name in protocol.CHOICES["augmentation"]
        if name.startswith("geometry")
    }
    assert kinds == {
        "geometry": ["Geometry"],
        "geometry and erasing": ["Geometry", "RandomErasing"],
        "geometry and light": ["Geometry", "Light"],
        "geometry, erasing and light": ["Geometry", "Light", "RandomErasing"],
    }


def test_the_changes_are_saved_and_loaded_with_a_network(tmp_path):
    same = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Activation("linear")])
    network = augmentation.augmented(same, "geometry, erasing and light")
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert [type(layer) for layer in again.layers[:2]] == [augmentation.Geometry, augmentation.Light]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(FACES, training=False)), FACES)
    shown = [keras.ops.convert_to_numpy(model(FACES, training=True)) for model in (network, again)]
    assert all((faces != FACES).any(axis=(1, 2, 3)).all() for faces in shown)


def test_faces_are_changed_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layers = augmentation.Geometry(), augmentation.Light()
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in layers} == {"float32"}


def perturbed(monkeypatch, faces, mirror=0.9, turn=1.5, across=1.5, along=1.5, off=0.0, right=0.9, down=0.9):
    """Faces changed by these numbers: of three choices 0.5, 1.5, 2.5; 0 to 4 pixels off; below 0.5 means yes."""
    return pinned(augmentation.Perturbation(), monkeypatch, faces, mirror, turn, across, along, off, right, down)


def test_a_perturbation_of_nothing_leaves_the_face_and_a_mirror_mirrors_it(monkeypatch):
    np.testing.assert_allclose(perturbed(monkeypatch, FACES), FACES, atol=1e-4)
    np.testing.assert_allclose(perturbed(monkeypatch, FACES, mirror=0.1), FACES[:, :, ::-1], atol=1e-4)


def test_a_perturbation_takes_a_window_of_44_pixels_from_a_corner(monkeypatch):
    ramp = np.broadcast_to(np.arange(48, dtype=np.float32)[None, None, :, None], (1, 48, 48, 1))
    left = perturbed(monkeypatch, ramp, off=4.0, right=0.9)
    right = perturbed(monkeypatch, ramp, off=4.0, right=0.1)
    np.testing.assert_allclose(left[0, 20, :, 0], np.linspace(0, 43, 48), atol=1e-3)
    np.testing.assert_allclose(right[0, 20, :, 0], np.linspace(4, 47, 48), atol=1e-3)


def test_a_perturbation_turns_and_shears_about_the_middle(monkeypatch):
    x, y = np.meshgrid(np.arange(48) - 23.5, np.arange(48) - 23.5)
    ramp = x.astype(np.float32)[None, :, :, None]
    inside = slice(12, 36)  # reflections do not reach it
    turned = perturbed(monkeypatch, ramp, turn=2.5)[0, inside, inside, 0]
    expected = np.cos(np.pi / 18) * x - np.sin(np.pi / 18) * y
    np.testing.assert_allclose(turned, expected[inside, inside], atol=1e-3)
    sheared = perturbed(monkeypatch, ramp, across=2.5)[0, inside, inside, 0]
    np.testing.assert_allclose(sheared, (x + 0.1 * y)[inside, inside], atol=1e-3)


def test_perturbed_views_are_alike_for_a_seed_and_differ_among_themselves():
    faces = np.random.default_rng(7).normal(size=(1030, 48, 48, 1)).astype(np.float32)
    one, same, other = (list(augmentation.perturbed(faces, seed, 2)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert one[0].shape == faces.shape
    assert (one[0] != one[1]).any()
    assert (one[0] != other[0]).any()

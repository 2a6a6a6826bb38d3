"""Pictures of every form: whole or refused, upright, over white, and small enough."""

import io
import itertools
import os
import re
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from fer_lib.files import pictures

COLOURS = {"r": (200, 20, 30), "g": (20, 160, 40), "b": (30, 20, 200), "w": (250, 250, 250)}  # red first
ORIENTED = {1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb"}
"""EXIF orientation -> the corners when upright, of a picture stored with r g above b w."""


def four_corners(width=64, height=48) -> np.ndarray:
    """Grey with a corner of each colour, red first: r upper left, g upper right, b lower left, w lower right."""
    image = np.full((height, width, 3), 110, np.uint8)
    for name, (y, x) in zip("rgbw", itertools.product((np.s_[:16], np.s_[-16:]), repeat=2)):
        image[y, x] = COLOURS[name]
    return image


def corners(image: np.ndarray) -> str:
    """The names of a BGR picture's corner colours, row by row."""
    means = [image[y, x].mean((0, 1))[::-1] for y, x in itertools.product((np.s_[2:8], np.s_[-8:-2]), repeat=2)]
    return "".join(min(COLOURS, key=lambda name: np.abs(COLOURS[name] - mean).sum()) for mean in means)


def saved(image, form: str, **how) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    content = io.BytesIO()
    image.save(content, form, **how)
    return content.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


# ---- upright


@pytest.mark.parametrize("side", [(64, 48), (48, 48)])
@pytest.mark.parametrize(
    "form, how",
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_all_eight_orientations_of_every_form(form, how, side):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    for orientation, expected in ORIENTED.items():
        content = saved(four_corners(*side), form, exif=exif(orientation), **how)
        shape = side if orientation > 4 else side[::-1]
        opened = Image.open(io.BytesIO(content))
        for image in (pictures.decode(content, "it"), pictures.as_bgr(content), pictures.as_bgr(opened)):
            assert (image.shape, corners(image)) == ((*shape, 3), expected), orientation
        assert corners(pictures.as_bgr(opened)) == expected  # loaded before
        stored = pictures.decode(content, "it", upright=False)
        assert (stored.shape, corners(stored)) == ((*side[::-1], 3), "rgbw"), orientation


def test_16_bits_and_transparency_are_put_upright_too():
    deep = Image.fromarray(four_corners()[..., 0].astype(np.uint16) * 257)
    for form in ("PNG", "TIFF"):
        found = pictures.decode(saved(deep, form, exif=exif(6)), "it")
        np.testing.assert_array_equal(found[..., 0], np.rot90(four_corners()[..., 0], -1))
        found = pictures.decode(saved(Image.fromarray(four_corners()).convert("RGBA"), form, exif=exif(7)), "it")
        assert corners(found) == "wgbr"


def test_an_orientation_that_is_none_leaves_a_picture_as_it_is():
    for form in ("JPEG", "PNG"):
        for orientation in (0, 9, 250):
            assert corners(pictures.decode(saved(four_corners(), form, exif=exif(orientation)), "it")) == "rgbw"
    content = saved(four_corners(), "JPEG", exif=b"Exif\0\0not what it should be")
    assert corners(pictures.decode(content, "it")) == "rgbw"


@given(st.integers(1, 8))
def test_orient_loses_no_pixel(orientation):
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    np.testing.assert_array_equal(pictures.orient(pictures.orient(image, orientation), back), image)


# ---- whole


def run_lengths(image: np.ndarray) -> bytes:
    """A grey picture as BMP in run lengths, which Pillow does not write."""
    data = b""
    for row in image[::-1]:
        data += b"".join(bytes((len(list(run)), value)) for value, run in itertools.groupby(row.tolist())) + b"\0\0"
    data += b"\0\1"
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 1078 + len(data), 0, 1078, 40, *image.shape[::-1], 1, 8, 1,
                         len(data), 0, 0, 256, 0)  # fmt: skip
    return header + b"".join(bytes((k, k, k, 0)) for k in range(256)) + data


def some_forms() -> dict[str, bytes]:
    noise = cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8), (30, 20))
    colour, grey = Image.fromarray(noise), Image.fromarray(noise[..., 0])
    found = {
        "png": saved(colour, "PNG"),
        "png of few colours": saved(colour.quantize(50), "PNG"),
        "png of 16 bits": cv2.imencode(".png", noise.astype(np.uint16) * 257)[1].tobytes(),
        "jpg": saved(colour, "JPEG"),
        "progressive jpg": saved(colour, "JPEG", progressive=True),
        "grey jpg": saved(grey, "JPEG"),
        "cmyk jpg": saved(colour.convert("CMYK"), "JPEG"),
        "jpg with a small one": saved(colour, "JPEG", exif=exif(1).tobytes() + saved(colour, "JPEG")),
        "gif": saved(colour, "GIF"),
        "bmp": saved(colour, "BMP"),
        "bmp of run lengths": run_lengths(noise[..., 0] // 32 * 32),
        "webp": saved(colour, "WEBP"),
        "lossless webp": saved(colour, "WEBP", lossless=True),
        "pgm": saved(grey, "PPM"),
        "pgm of 16 bits": cv2.imencode(".pgm", noise[..., 0].astype(np.uint16) * 257)[1].tobytes(),
        "ppm": saved(colour, "PPM"),
        "pbm": saved(grey.convert("1"), "PPM"),
        "plain ppm": cv2.imencode(".ppm", noise, [cv2.IMWRITE_PXM_BINARY, 0])[1].tobytes(),
        "plain pgm": cv2.imencode(".pgm", noise[..., 0], [cv2.IMWRITE_PXM_BINARY, 0])[1].tobytes(),
    }
    for compression in (None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        found[f"tiff {compression}"] = saved(colour, "TIFF", compression=compression)
    for form, feature in (("AVIF", "avif"), ("JPEG2000", "jpg_2000")):
        if features.check(feature):
            found[form] = saved(colour, form)
    return found


FORMS = some_forms()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_a_picture_cut_off_anywhere_is_refused_or_whole(form):
    content = FORMS[form]
    whole = pictures.decode(content, "it")
    assert whole.shape == (20, 30, 3) and whole.dtype == np.uint8 and whole.flags["C_CONTIGUOUS"]
    lost = 0
    for length in {*range(0, len(content), max(1, len(content) // 150)), *range(len(content) - 30, len(content))}:
        try:
            np.testing.assert_array_equal(pictures.decode(content[:length], "it"), whole)
        except ValueError as error:
            lost += 1
            assert re.match(
                r"it: found (an incomplete or damaged picture|no picture that can be decoded), ", str(error)
            )
    assert lost > 80
    if not form.startswith("plain"):
        np.testing.assert_array_equal(pictures.decode(content + b"\0 more of it" * 20, "it"), whole)


def test_one_wrong_byte_in_a_png_is_damage():
    frames = list(np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3), np.uint8))
    several = {"save_all": True, "append_images": [Image.fromarray(each) for each in frames[1:]]}
    for content, kinds in (
        (saved(frames[0], "PNG"), (b"IDAT",)),
        (saved(frames[0], "PNG", **several), (b"IDAT", b"fdAT")),
    ):
        for kind in kinds:
            damaged = bytearray(content)
            damaged[content.index(kind) + 300] ^= 16
            message = f"it: found an incomplete or damaged picture, .*another checksum than that of its {kind.decode()}"
            with pytest.raises(ValueError, match=message):
                pictures.decode(bytes(damaged), "it")
            with pytest.raises(ValueError, match=message):
                list(pictures.animation(bytes(damaged), "it"))


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("factor", [1, 2, 8])
def test_a_jpeg_whose_data_end_early_is_damaged_though_its_end_is_marked(colour, factor):
    noise = np.random.default_rng(0).integers(0, 255, (200, 304, 3), np.uint8)
    for subsampling in (0, 2):
        content = saved(noise, "JPEG", subsampling=subsampling)
        pictures.decode(content, "it", colour, factor=factor)
        for part in (3, 2, 1.05):
            with pytest.raises(
                ValueError, match=r"it: found an incomplete or damaged picture, .*\(its data end early\)"
            ):
                pictures.decode(content[: int(len(content) / part)] + b"\xff\xd9", "it", colour, factor=factor)
    grey = np.full((200, 300, 3), 128, np.uint8)  # what is missing looks like this, but here nothing is
    for how in ({}, {"progressive": True}, {"restart_marker_blocks": 3}):
        assert (pictures.decode(saved(grey, "JPEG", **how), "it", colour, factor=factor) == 128).all()


@pytest.mark.parametrize("colour", [True, False])
def test_a_jpeg_cut_off_after_3000_bytes_is_not_read_as_grey(colour):
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    for progressive in (False, True):
        content = saved(noise, "JPEG", progressive=progressive)
        for factor in (1, 2, 8):
            with pytest.raises(ValueError, match=r"a\.jpg: found an incomplete or damaged picture, 3,000 bytes"):
                pictures.decode(content[:3000], "a.jpg", colour, factor=factor)


@given(st.sampled_from(sorted(FORMS)), st.integers(0), st.binary(min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_of_any_kind_is_refused_or_a_picture(form, place, other):
    content = bytearray(FORMS[form])
    place %= len(content)
    if place < 32:  # sides that would be large, but are allowed, take their time
        place += 32
    content[place : place + len(other)] = other
    try:
        image = pictures.decode(bytes(content), "it")
    except ValueError as error:
        assert str(error).startswith("it: found ")
    else:
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert pictures.count(bytes(content))[0] >= 0


# ---- small enough


def claims(content: bytes, form: str, width: int, height: int) -> bytes:
    """The same file with other sides in its header."""
    data = bytearray(content)
    if form == "png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif form == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif form == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif form == "pgm":
        return b"P5\n%d %d\n255\n" % (width, height) + bytes(100)
    else:
        place = re.search(rb"\xff[\xc0\xc2]\0\x11\x08", data).end()
        data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "form, name",
    [("png", "png"), ("bmp", "bmp"), ("gif", "gif"), ("pgm", "pgm"), ("jpg", "jpg"), ("jpg", "progressive jpg")],
)
def test_enormous_sides_are_refused_at_once(form, name):
    sides = (65_000, 65_000) if form in ("gif", "jpg") else (200_000, 100_000)
    content, started = claims(FORMS[name], form, *sides), time.perf_counter()
    message = rf"it: found a picture of {sides[0]:,} x {sides[1]:,} pixels, expected at most 268,435,456 pixels"
    for colour in (True, False):
        with pytest.raises(ValueError, match=message):
            pictures.decode(content, "it", colour)
    if form != "jpg":
        with pytest.raises(ValueError, match=message):
            next(pictures.animation(content, "it"))
    assert time.perf_counter() - started < 0.5


@pytest.mark.slow  # 600 MB
def test_a_telephones_200_megapixels_are_not_enormous():
    before = Image.MAX_IMAGE_PIXELS
    content = claims(FORMS["png"], "png", 16_320, 12_240)
    with pytest.raises(ValueError, match="incomplete or damaged"):  # by the data that are missing, not by its sides
        pictures.decode(content, "it")
    assert Image.MAX_IMAGE_PIXELS == before  # the limit of whoever uses Pillow beside this
    assert 16_320 * 12_240 < pictures.LARGEST


# ---- forms


def test_what_a_file_is_is_told_by_its_beginning():
    for name, content in FORMS.items():
        assert pictures.is_picture(content[:32]), name
    for other in (
        b"",
        b"BMW is a maker of cars, not of BMP files",
        b"\0\0\0\x18ftypmp42" + bytes(20),
        b"P1234",
        b"RIFF" * 9,
    ):
        assert not pictures.is_picture(other)
        with pytest.raises(ValueError, match=f"it: found no picture that can be decoded, {len(other)} bytes"):
            pictures.decode(other, "it")
    with pytest.raises(ValueError, match="it: found a HEIC picture, which cannot be decoded"):
        pictures.decode(b"\0\0\0\x18ftypheic" + bytes(40), "it")


def test_16_bits_become_the_upper_8_in_every_form():
    deep = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    for ending in (".png", ".tiff", ".pgm"):
        content = cv2.imencode(ending, deep)[1].tobytes()
        np.testing.assert_array_equal(pictures.decode(content, "it", colour=False), deep >> 8)
    with pytest.raises(
        ValueError, match="it: found a picture of 32-bit float samples, expected unsigned ones of 8 or 16 bits"
    ):
        pictures.decode(saved(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF"), "it")


def test_what_is_transparent_is_white_in_files_and_in_memory():
    image = np.zeros((20, 30, 4), np.uint8)
    image[:10] = 200, 100, 50, 255  # red first
    image[10:, :15] = 200, 100, 50, 128
    expected = np.full((20, 30, 3), 255, np.uint8)
    expected[:10] = 50, 100, 200
    expected[10:, :15] = 152, 177, 227  # 50 * 128 / 255 + 127
    given = (saved(image, "PNG"), saved(image, "TIFF"), Image.fromarray(image), image[..., [2, 1, 0, 3]])
    for each in given:
        np.testing.assert_array_equal(pictures.as_bgr(each), expected)
    few = Image.fromarray(np.uint8(image[..., 3] == 255))
    few.putpalette([9, 9, 9, 50, 100, 150])
    few.info["transparency"] = 0
    assert pictures.as_bgr(few)[[0, -1], 0].tolist() == [[150, 100, 50], [255, 255, 255]]


def test_a_factor_makes_a_jpeg_smaller_and_any_other_form_too():
    for form in ("JPEG", "PNG"):
        content = saved(four_corners(128, 96), form)
        assert pictures.decode(content, "it", factor=4).shape == (24, 32, 3)
        assert pictures.decode(content, "it", colour=False, factor=2).shape == (48, 64)


def test_grey_is_what_opencv_makes_of_it():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    found = pictures.decode(saved(image[..., ::-1], "PNG"), "it", colour=False)
    np.testing.assert_array_equal(found, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    grey = saved(image[..., 0], "PNG")
    np.testing.assert_array_equal(pictures.decode(grey, "it", colour=False), image[..., 0])


def test_frames_and_pages_are_counted(tmp_path):
    first, *rest = [Image.fromarray(np.full((9, 9, 3), 40 * k, np.uint8)) for k in range(5)]
    several = {"save_all": True, "append_images": rest, "duration": 100}
    for form in ("GIF", "PNG", "WEBP"):
        assert pictures.count(saved(first, form, **several)) == (5, "frames")
        assert pictures.count(saved(first, form)) == (1, "frames")
    hidden = saved(first, "PNG", default_image=True, **several)
    assert pictures.count(hidden) == (4, "frames")
    shown = [(index, moment, int(image.mean())) for index, moment, image in pictures.animation(hidden, "it")]
    assert shown == [(k, pytest.approx(k / 10), 40 * (k + 1)) for k in range(4)]  # as browsers do
    (tmp_path / "pages").write_bytes(saved(first, "TIFF", save_all=True, append_images=rest))
    assert pictures.count(tmp_path / "pages") == (5, "pages")
    assert pictures.count(b"no picture") == pictures.count(tmp_path / "none") == (1, "frames")


@pytest.mark.parametrize("form", ["PNG", "WEBP"])  # Pillow 13 crashes where it writes such an AVIF
@pytest.mark.parametrize("orientation", range(1, 9))
def test_animations_are_put_upright(form, orientation):
    frames = [Image.fromarray(four_corners() // divisor * divisor) for divisor in (1, 3, 5)]
    how = {"lossless": True} if form == "WEBP" else {}
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], exif=exif(orientation), **how)
    found = [image for _, _, image in pictures.animation(content, "it")]
    assert [corners(image) for image in found] == [ORIENTED[orientation]] * 3
    assert found[0].shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    assert all(image.flags["C_CONTIGUOUS"] for image in found)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("late", [False, True])
def test_a_png_with_large_texts_and_a_large_profile_is_read_and_keeps_its_frames_and_its_exif_data(late):
    frames = [Image.fromarray(four_corners() // divisor * divisor) for divisor in (1, 3)]
    large = zlib.compress(bytes(2_000_000))
    notes = chunk(b"zTXt", b"a\0\0" + large) + chunk(b"iTXt", b"b\0\1\0\0\0" + large)
    notes += chunk(b"eXIf", exif(6).tobytes()[6:])
    profile = chunk(b"iCCP", b"c\0\0" + large)
    for several in (False, True):
        content = saved(frames[0], "PNG", save_all=several, append_images=frames[1:] if several else [])
        place = len(content) - 12 if late else 33
        content = content[:place] + notes + content[place:]
        content = content[:33] + profile + content[33:]
        assert corners(pictures.decode(content, "it")) == ORIENTED[6]
        assert pictures.count(content) == (1 + several, "frames")
        shown = [corners(image) for _, _, image in pictures.animation(content, "it")]
        assert shown == [ORIENTED[6]] * (1 + several)


# ---- in memory, and written


def test_a_picture_in_any_usual_form_is_the_same_picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    content = saved(image[..., ::-1], "PNG")
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")  # in Latin-1, not UTF-8
    with open(name, "wb") as file:
        file.write(content)
    for each in (
        name,
        tmp_path / name,
        content,
        memoryview(content),
        Image.fromarray(image[..., ::-1]),
        image,
        image[:],
    ):
        np.testing.assert_array_equal(pictures.as_bgr(each), image)
    assert pictures.as_bgr(image[:, ::-1]).flags["C_CONTIGUOUS"]
    grey = image[..., 0]
    for each in (grey, grey[..., None], Image.fromarray(grey), Image.fromarray(grey.astype(np.uint16) * 257)):
        np.testing.assert_array_equal(pictures.as_bgr(each), np.stack([grey] * 3, 2))


@pytest.mark.parametrize(
    "shape, kind", [((0, 5, 3), "uint8"), ((5, 5, 2), "uint8"), ((5,), "uint8"), ((1, 5, 5, 3), "uint8"),
                    ((5, 5, 3), "float32"), ((5, 5), "uint16"), ((5, 5), "bool")],
)  # fmt: skip
def test_other_arrays_are_refused_in_words(shape, kind):
    message = rf"image: found an array of shape {re.escape(str(shape))} and type {kind}, expected \(height, width\), or"
    with pytest.raises(ValueError, match=message):
        pictures.as_bgr(np.zeros(shape, kind))


def test_what_is_no_picture_is_refused(tmp_path):
    for other, name in ((None, "NoneType"), ([[0]], "list"), (3, "int")):
        with pytest.raises(TypeError, match=f"image: found an object of type {name}, expected a path, the bytes of"):
            pictures.as_bgr(other)
    with pytest.raises(FileNotFoundError, match=r"none\.png: found no such file, expected a picture; see"):
        pictures.as_bgr(tmp_path / "none.png")
    with pytest.raises(ValueError, match="found no regular file"):
        pictures.as_bgr(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="found no regular file"):  # instead of waiting for it
        pictures.as_bgr(tmp_path / "pipe.png")
    cut = Image.open(io.BytesIO(FORMS["png"][:600]))
    with pytest.raises(ValueError, match="image: found a damaged picture"):
        pictures.as_bgr(cut)
    with pytest.raises(ValueError, match="32-bit float samples"):
        pictures.as_bgr(Image.fromarray(np.zeros((9, 9), np.float32)))


def test_a_picture_written_is_the_picture_read():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(pictures.as_bgr(pictures.encode(image, ".PNG")), image)
    grey = pictures.encode(image[..., 0], ".png")
    np.testing.assert_array_equal(pictures.decode(grey, "it", colour=False), image[..., 0])
    good, poor = pictures.encode(image, ".jpg"), pictures.encode(image, ".jpeg", 5)
    assert len(poor) < len(good) / 2 and good[:2] == b"\xff\xd8"
    for other, ending in (
        (image, ".pngg"),
        (image, ""),
        (image[:0], ".png"),
        (np.zeros((1, 70_000, 3), np.uint8), ".jpg"),
    ):
        with pytest.raises(ValueError, match="picture: found a picture of shape"):
            pictures.encode(other, ending)


@pytest.mark.parametrize(
    "kind, several, found",
    [("<f4", 3, "32-bit float"), ("<f4", 1, "32-bit float"), ("<i2", 1, "16-bit signed"), ("<i1", 1, "8-bit signed"),
     ("<u4", 1, "32-bit"), ("<f8", 1, "64-bit float"), ("<i4", 1, "32-bit signed"), ("<u4", 3, "32-bit")],
)  # fmt: skip
def test_samples_that_are_not_read_are_named(kind, several, found):
    pixels = np.zeros((4, 4, several), kind)
    form = {"u": 1, "i": 2, "f": 3}[kind[1]]
    tags = {256: 4, 257: 4, 258: 8 * pixels.itemsize, 259: 1, 262: 2 if several == 3 else 1, 273: 200, 277: several,
            278: 4, 279: pixels.nbytes, 339: form}  # fmt: skip
    entries = b""
    for tag, value in tags.items():
        if tag in (258, 339) and several == 3:
            entries += struct.pack("<HHII", tag, 3, 3, 150 if tag == 258 else 160)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, value)
    content = (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)).ljust(150, b"\0")
    content += struct.pack("<HHH", *[tags[258]] * 3).ljust(10, b"\0") + struct.pack("<HHH", *[form] * 3)
    content = content.ljust(200, b"\0") + pixels.tobytes()
    expected = f"it: found a picture of {found} samples, expected unsigned ones of 8 or 16 bits; convert it"
    with pytest.raises(ValueError, match=f"^{expected}$"):
        pictures.decode(content, "it")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_no_message_has_a_place_in_memory(form):
    for length in (33, 40, 60, 200, len(FORMS[form]) // 2):
        try:
            pictures.decode(FORMS[form][:length], "it")
        except ValueError as error:
            assert "0x" not in str(error)


def test_sixteen_bits_in_which_white_is_zero_are_inverted_and_twelve_bits_use_the_whole_range(tmp_path):
    def tiff(bits: int, photometric: int, samples: bytes) -> bytes:
        """Two pixels of grey, little-endian, not compressed."""
        tags = {256: 2, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 134, 277: 1, 278: 1, 279: len(samples)}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
        return head.ljust(134, b"\0") + samples

    for bits, photometric, samples, expected in (
        (16, 1, struct.pack("<HH", 60000, 0), [234, 0]),
        (16, 0, struct.pack("<HH", 60000, 0), [21, 255]),
        (12, 1, bytes([0xEA, 0x60, 0x00]), [234, 0]),
    ):
        image = pictures.decode(tiff(bits, photometric, samples), "x.tif")
        assert image[0, :, 0].tolist() == expected

"""Pictures, decoded and encoded, whole and upright.

OpenCV decodes JPEG, Pillow every other form. What is a picture is told by its first bytes, never by its name.
"""

import io
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from . import readable, reason, refused

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2", ".pgm", ".ppm",
    ".pbm", ".pnm",
)  # fmt: skip
"""How the names of pictures end: which files of a folder are looked at."""
LARGEST = 2**28
"""Pixels of the largest picture that is decoded; a telephone's 200 megapixels are fewer."""
DENSEST = 1024
"""Pixels that a byte of a JPEG may stand for: of one colour a block of 64 takes a bit or more."""
_FORMS = ("PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
_BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{12}[\x0c\x28-\x7c]\0\0\0|RIFF.{4}WEBP|II[\x2a\x2b]\0|MM\0[\x2a\x2b]|"
    rb"P[1-6]\s|.{4}ftyp(?:avi[fs]|mif1|heic|heix|heim|heis)|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    re.DOTALL,
)
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_OPENING = threading.Lock()


def is_picture(beginning: bytes) -> bool:
    """Whether a file that begins with these bytes, 32 or more, is a picture."""
    return _BEGINNINGS.match(beginning) is not None


def decode(content: bytes, place: object, colour: bool = True, upright: bool = True, factor: int = 1) -> np.ndarray:
    """The picture, or the first of several, from the bytes of a file: (height, width, 3) uint8 BGR, or (height, width).

    place: its name in messages. colour: else grey. upright: as its EXIF data says, else as its pixels are stored.
    factor: 2, 4 or 8 for a JPEG decoded at that part of its size, quicker. 16 bits become 8; what is transparent is
    white. Raises ValueError for what is no picture, incomplete, damaged, or larger than ``LARGEST``.
    """
    if content[:2] == b"\xff\xd8":
        return _decode_jpeg(content, place, colour, upright, factor)
    with _opened(content, place) as picture:
        if picture.format == "PPM" and re.match(rb"P[23]", content) and content[-1:].isdigit():
            raise _damaged(content, place, "its last number may be cut off: no space after it")
        if picture.format == "JPEG2000" and b"\xff\xd9" not in content:
            raise _damaged(content, place, "its end is missing")
        orientation = _orientation(picture.getexif)
        try:
            image = _bgr(picture)
        except Exception as error:  # Pillow's plugins raise many types for damage
            raise _damaged(content, place, error) from error
        if picture.format == "TIFF":  # Pillow has put it upright
            image = image if upright else orient(image, {6: 8, 8: 6}.get(orientation, orientation))
        elif upright:
            image = orient(image, orientation)
    if factor > 1:
        image = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return image if colour else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def as_bgr(image: object) -> np.ndarray:
    """A picture in any of the usual forms as (height, width, 3) uint8 BGR, contiguous.

    image: the path of a file; the bytes of one; a Pillow image; or a uint8 array as OpenCV has it, (height, width),
    (height, width, 1), (height, width, 3) BGR or (height, width, 4) BGRA. Files and Pillow images are put upright as
    their EXIF data says; what is transparent is white. Raises TypeError for anything else, ValueError for another array
    or what ``decode`` refuses, FileNotFoundError, and OSError where a file cannot be read.
    """
    if isinstance(image, (str, os.PathLike)):
        if not os.fspath(image):
            raise refused("image", "an empty name", "a picture's path", "name one")
        return decode(read(image), image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode(bytes(image), "image")
    if isinstance(image, np.ndarray):
        shape = image.shape
        if (
            image.dtype != np.uint8
            or not image.size
            or not (len(shape) == 2 or len(shape) == 3 and shape[2] in (1, 3, 4))
        ):
            raise refused(
                "image",
                f"an array of shape {shape} and type {image.dtype}",
                "(height, width), or (height, width, 1, 3 or 4) with blue first, of uint8, not empty",
                "convert it",
            )
        return _from_array(image)
    from PIL import Image  # here and below, so that other sources need not wait for it

    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise refused("image", f"{image.size[0]} x {image.size[1]} pixels", "one or more each way", "give another")
        _check(image, "image")
        try:
            pixels = _bgr(image)  # first: it puts a TIFF upright and forgets its orientation
            return orient(pixels, _orientation(image.getexif))
        except Exception as error:
            raise refused("image", f"a damaged picture ({reason(error)})", "a whole picture", "open another") from error
    found = f"an object of type {type(image).__name__}"
    expected = "a path, the bytes of a file, a Pillow image or a NumPy array"
    raise TypeError(f"image: found {found}, expected {expected}; convert it")


def read(path: str | os.PathLike) -> bytes:
    """The bytes of a file, whatever its name is.

    Raises FileNotFoundError, ValueError for what is no regular file, such as a pipe, OSError where it cannot be read.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(str(refused(path, "no such file", "a picture", "see how it is spelt")))
    if not os.path.isfile(path):
        raise refused(path, "no regular file", "a picture", "name another")
    return Path(path).read_bytes()


def encode(image: np.ndarray, ending: str, quality: int = 95) -> bytes:
    """The bytes of a file of a picture, (height, width) grey or (height, width, 3) BGR uint8.

    ending: ".png" or ".jpg", as of a file's name. quality: of a JPEG, up to 100. Raises ValueError for what cannot be
    encoded: another ending, an empty picture, sides that the form does not have.
    """
    jpeg = ending.lower() in (".jpg", ".jpeg")
    try:
        whole, content = cv2.imencode(ending.lower(), image, [cv2.IMWRITE_JPEG_QUALITY, quality] if jpeg else [])
    except cv2.error:
        whole = False
    if not whole:
        found = f"a picture of shape {np.shape(image)} to be written as {ending or 'a file without an ending'}"
        raise refused(
            "picture", found, "a picture of uint8 and .png or .jpg", "make it smaller, or name another ending"
        )
    return content.tobytes()


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """A picture or frame put upright, contiguous. orientation: 1 to 8 as in EXIF; 1 is upright already."""
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def count(file: bytes | Path) -> tuple[int, str]:
    """How many frames an animation has, or pages a TIFF, and which of both: "frames" or "pages"; 1 where unknown."""
    try:
        with open(file, "rb") if isinstance(file, Path) else io.BytesIO(file) as content:
            beginning = content.read(32)
            if beginning[:2] == b"\xff\xd8" or not is_picture(beginning):
                return 1, "frames"
            content.seek(0)
            if beginning[:4] == b"\x89PNG":
                content = io.BytesIO(_without_texts(content.read()))
            with _open(content) as picture:
                skipped = bool(getattr(picture, "default_image", False))  # of an APNG, for programs that know no other
                return getattr(picture, "n_frames", 1) - skipped, "pages" if picture.format == "TIFF" else "frames"
    except Exception:  # decoding it gives the reason
        return 1, "frames"


def animation(content: bytes, place: object, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """The frames of an animation: number, time in seconds since the first, and (height, width, 3) uint8 BGR.

    every: only those whose number is a multiple of this. Raises what ``decode`` raises, also between frames.
    """
    from PIL import ImageSequence

    moment, index = 0.0, -1
    with _opened(content, place) as picture:
        orientation = _orientation(picture.getexif)
        try:
            index -= bool(getattr(picture, "default_image", False))
            for each in ImageSequence.Iterator(picture):
                each.load()  # its duration is known only then
                index += 1
                if index < 0:
                    continue
                if index % every == 0:
                    yield index, moment, orient(_bgr(each), orientation)
                duration = each.info.get("duration") or 0
                moment += (duration if duration > 0 else 100) / 1000  # none means a tenth of a second, as in browsers
        except Exception as error:
            found = f"damage in frame {index + 1} ({reason(error)})"
            raise refused(place, found, "a whole animation", "fetch it again") from error


def _decode_jpeg(content: bytes, place: object, colour: bool, upright: bool, factor: int) -> np.ndarray:
    try:
        width, height, exif, scan = _jpeg_header(content)
    except (IndexError, ValueError) as error:
        raise _damaged(content, place, error) from None
    _check_sides(width, height, place)
    if width * height > max(2**24, DENSEST * len(content)):  # before gigabytes are made ready for them
        raise _damaged(content, place, f"its data end early, being those of {width:,} x {height:,} pixels")
    if content.rfind(b"\xff\xd9", scan) < 0:  # decoders fill what is missing with grey
        raise _damaged(content, place, "its end is missing")
    kind = "COLOR" if colour else "GRAYSCALE"
    flag = getattr(cv2, f"IMREAD_{kind}" if factor == 1 else f"IMREAD_REDUCED_{kind}_{factor}")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise _damaged(content, place, "JPEG data that is none")
    if set(image[-1, -1].tobytes()) == {128} and _ends_early(content):
        raise _damaged(content, place, "its data end early")
    if not (upright and exif):
        return image
    from PIL import Image

    def tags() -> Image.Exif:
        known = Image.Exif()
        known.load(exif)
        return known

    return orient(image, _orientation(tags))


def _ends_early(content: bytes) -> bool:
    """Whether a JPEG's data end before its pixels do. OpenCV leaves them at grey 128 without a word; FFmpeg tells."""
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(content))
        decoder.decode(None)
    except av.error.InvalidDataError:
        return True
    except av.error.FFmpegError:  # a kind of JPEG that it cannot decode
        return False
    return False


def _jpeg_header(content: bytes) -> tuple[int, int, bytes, int]:
    """A JPEG's width, height and EXIF data, and where its first scan is. Raises IndexError or ValueError if cut off.

    Its own, as Pillow takes ten times as long, and it is for every face of AffectNet.
    """
    width, height, exif, place = 0, 0, b"", 2
    while True:
        place = content.index(b"\xff", place) + 1
        marker = content[place]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # they have no length
            place += marker != 0xFF
            continue
        if marker == 0xDA:
            return width, height, exif, place
        end = place + 1 + (content[place + 1] << 8 | content[place + 2])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (content[k] << 8 | content[k + 1] for k in (place + 4, place + 6))
        elif marker == 0xE1 and content[place + 3 : place + 7] == b"Exif" and not exif:
            exif = content[place + 3 : end]
        place = end


def _open(file):
    """Pillow's image, its header read. Its own limit of pixels, lower than ``LARGEST``, is off meanwhile."""
    from PIL import Image

    with _OPENING:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_FORMS)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each whole chunk of a PNG, and where it begins and ends."""
    place = 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            return
        yield kind, place, end
        if kind == b"IEND":
            return
        place = end


def _check_png(content: bytes, place: object) -> None:
    """Raise ValueError if what a PNG's pixels need has another checksum than it says; Pillow does not look at all."""
    view = memoryview(content)
    for kind, start, end in _png_chunks(content):
        pixels = kind[:1].isupper() or kind in (b"fcTL", b"fdAT")
        if pixels and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise _damaged(content, place, f"another checksum than that of its {readable(kind.decode('latin-1'))}")


def _without_texts(content: bytes) -> bytes:
    """A PNG without its texts and its colour profile: Pillow refuses large ones. EXIF data, in whatever form, and XMP
    stay, which say what is upright, and come first, so that Pillow knows them before an animation's frames."""
    if content[:4] != b"\x89PNG":
        return content
    first, rest, last = [content[:8]], [], 8
    for kind, start, end in _png_chunks(content):
        last, note = end, content[start + 8 : start + 30]
        said = kind == b"eXIf" or note.startswith((b"XML:com.adobe.xmp\0", b"Raw profile type "))
        if kind == b"IHDR" or said and kind in (b"eXIf", *_TEXTS):
            first.append(content[start:end])
        elif kind not in _TEXTS:
            rest.append((start, end))
    return b"".join([*first, *(content[start:end] for start, end in rest), content[last:]])


def _opened(content: bytes, place: object):
    if content[:4] == b"\x89PNG":
        _check_png(content, place)
    try:
        picture = _open(io.BytesIO(_without_texts(content)))
    except Exception as error:
        samples = _samples(_tiff_tags(content))  # Pillow may not know the form for them
        raise _other_samples(place, samples) if samples else _damaged(content, place, error) from None
    _check(picture, place)
    return picture


def _check(picture, place: object) -> None:
    _check_sides(*picture.size, place)
    samples = _samples(getattr(picture, "tag_v2", {}))
    if not samples and (picture.mode == "F" or picture.mode == "I" and picture.format != "PPM"):  # a PPM has 16 bits
        samples = "32-bit float samples" if picture.mode == "F" else "32-bit samples"
    if samples:
        raise _other_samples(place, samples)


def _tiff_tags(content: bytes) -> Mapping:
    """The tags of a TIFF's first picture, by number; none if they cannot be read."""
    from PIL import TiffImagePlugin

    try:
        head = content[: 16 if b"\x2b" in content[2:4] else 8]  # the former is of a BigTIFF
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        return dict(tags)
    except Exception:  # it is another form, or damaged
        return {}


def _samples(tags: Mapping) -> str:
    """What a TIFF's samples are, by its tags, if they are not unsigned of up to 16 bits; else ""."""
    try:
        bits, kind = (int(np.max(tags.get(tag, 1))) for tag in (258, 339))
    except (TypeError, ValueError):  # they are no numbers: decoding it gives the reason
        return ""
    name = {2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}.get(kind, "")
    return f"{bits}-bit {name}samples" if name or bits > 16 else ""


def _other_samples(place: object, samples: str) -> ValueError:
    return refused(place, f"a picture of {samples}", "unsigned ones of 8 or 16 bits", "convert it")


def _check_sides(width: int, height: int, place: object) -> None:
    if width * height > LARGEST:
        found = f"a picture of {width:,} x {height:,} pixels"
        raise refused(place, found, f"at most {LARGEST:,} pixels", "make it smaller, or fetch it again")


def _damaged(content: bytes, place: object, why: object) -> ValueError:
    if re.match(rb".{4}ftyp(?:hei|mif1(?!.{,40}avif))", content, re.DOTALL):
        return refused(place, "a HEIC picture, which cannot be decoded", "JPEG, PNG or another form", "convert it")
    if not is_picture(content[:32]):
        found = f"no picture that can be decoded, {len(content):,} bytes"
    else:
        why = reason(why) if isinstance(why, Exception) else str(why)
        if re.search(r" at 0x[0-9a-f]+", why):  # Pillow names its file by a place in memory
            why = "its beginning cannot be read"
        found = f"an incomplete or damaged picture, {len(content):,} bytes ({why})"
    return refused(place, found, "a whole picture", "fetch it again")


def _orientation(tags) -> int:
    """1 to 8, from a function that gives EXIF data; 1 if it says nothing that can be read."""
    try:
        found = tags().get(0x0112, 1)
    except Exception:
        return 1
    return found if found in range(1, 9) else 1


def _bgr(picture) -> np.ndarray:
    """A Pillow image's pixels as (height, width, 3) uint8 BGR, as they are stored, transparency over white."""
    picture.load()
    if picture.mode[0] == "I":
        tags = getattr(picture, "tag_v2", {})  # of a TIFF: bits of a sample, and whether 0 is white
        levels = np.asarray(picture) >> max(0, tags.get(258, (16,))[0] - 8)
        return _from_array((255 - levels if tags.get(262) == 0 else levels).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        return _from_array(np.asarray(picture.convert("RGBA"))[..., [2, 1, 0, 3]])
    if picture.mode == "L":
        return _from_array(np.asarray(picture))
    return cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR)


def _from_array(image: np.ndarray) -> np.ndarray:
    """(height, width), (height, width, 1), BGR or BGRA, uint8, as contiguous BGR over white."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 3:
        return np.ascontiguousarray(image)
    alpha = image[..., 3:].astype(np.uint16)
    return np.ascontiguousarray((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255, dtype=np.uint8)

"""Files that somebody made to do harm: each is refused in words, soon, and without much memory.

Random damage is ``test_fuzz``'s. Here are bombs, which unpack to more than there is room for, claims of sizes that
nobody has, names and links that lead elsewhere, and pipes and devices where a file should be.
"""

import gzip
import json
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import cv2
import hostile
import made_up_fer2013
import numpy as np
import pytest
from made_up_weights import field, varint

SECONDS, MEGABYTES = 15, 400
"""What reading one of these files may take at most, of a processor and of memory, beyond the loaded program; also in
docs/robustness.md."""
MB = 2**20
GB = 1000
"""Megabytes that bombs unpack to."""


# ---- what is packed


def deflated(*parts: bytes | int) -> bytes:
    """Bytes, and numbers of megabytes of zeros, as one raw stream of deflate."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = [block * part if isinstance(part, int) else _flushed(part) for part in parts]
    return b"".join([*packed, b"\3\0"])


def _flushed(content: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)


def gz(path: Path, *parts: bytes | int) -> Path:
    return written(path, b"\x1f\x8b\x08" + bytes(7) + deflated(*parts) + bytes(8))


def zipped(path: Path, name: str, *parts: bytes | int) -> Path:
    """A ZIP archive with one member, whose checksum is wrong: what gets that far has read it all."""
    info, content = zipfile.ZipInfo(name), deflated(*parts)
    info.compress_type, info.CRC, info.compress_size, info.header_offset = zipfile.ZIP_DEFLATED, 0, len(content), 0
    info.file_size = sum(part * MB if isinstance(part, int) else len(part) for part in parts)
    with zipfile.ZipFile(path, "w") as archive:
        archive.fp.write(info.FileHeader() + content)
        archive.filelist.append(info)
        archive.start_dir, archive._didModify = archive.fp.tell(), True
    return path


def member(name: str, megabytes: int, **how) -> bytes:
    """The head of a member of a tar."""
    info = tarfile.TarInfo(name)
    info.size = megabytes * MB
    for key, value in how.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def holed(name: str) -> bytes:
    """A member of a tar that says to have a terabyte, nearly all of it a hole, as GNU's tar writes it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"%011o\0%011o\0" % (0, 512)  # where its first piece is, and how long that is
    head[483:495] = b"%011o\0" % (2**33 - 1)  # how long it would be
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + bytes(512)


def npy(shape: tuple, descr: str = "|u1") -> bytes:
    """The head of an array of NumPy's."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


ROWS = f"{made_up_fer2013.GOOD}\n".encode() * 227
"""A megabyte of rows of FER2013."""


def alike(path: Path) -> Path:
    """A table of FER2013 of many rows, all the same."""
    block = _flushed(ROWS)
    return written(path, gz(path, HEADER, 0).read_bytes()[:-10] + block * 2000 + b"\3\0" + bytes(8))


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def linked(path: Path, to: str = "/dev/zero") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)
    return path


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


# ---- pictures


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes, *before: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    content = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def gif(width: int, height: int, frames: int = 1) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return head + frame * frames + b"\x3b"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def tiff(width: int, height: int, **tags: int) -> bytes:
    """A TIFF that claims these sides in one strip of 4 bytes."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 4}
    entries |= {int(tag[1:]): value for tag, value in tags.items()}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<I", 12) + bytes(4) + struct.pack("<H", len(entries)) + body + bytes(4)


# ---- weights


def hdf5(path: Path, shape: tuple, **options) -> Path:
    """Keras' weights whose one array claims a shape of which nothing is stored."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"block1"]
        group = file.create_group("block1")
        group.attrs["weight_names"] = [b"block1/kernel:0"]
        group.create_dataset("block1/kernel:0", shape, "f4", **options)
    return path


def chunked(path: Path) -> Path:
    """Keras' weights of a few numbers, whose one chunk unpacks to zeros without end."""
    import h5py

    hdf5(path, (1024,), compression="gzip", chunks=(1024,))
    with h5py.File(path, "r+") as file:
        file["block1/block1/kernel:0"].id.write_direct_chunk((0,), zlibbed(GB))
    return path


def zlibbed(*parts: bytes | int) -> bytes:
    return b"\x78\xda" + deflated(*parts) + bytes(4)


def matlab(path: Path) -> Path:
    """A MATLAB file whose one element unpacks to zeros."""
    flags, sides, name = struct.pack("<IIII", 6, 8, 9, 0), struct.pack("<IIII", 5, 8, GB << 20, 1), b"\1\0\1\0a\0\0\0"
    head = flags + sides + name + struct.pack("<II", 2, GB << 20)
    body = zlibbed(struct.pack("<II", 14, len(head) + (GB << 20)) + head, GB)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return written(path, head + struct.pack("<II", 15, len(body)) + body)


def caffe(path: Path) -> Path:
    """Caffe's network of which a blob claims a shape of 2**40 numbers."""
    blob = field(7, field(1, varint(2**20) * 2)) + field(5, bytes(16))
    return written(path, field(1, "x") + field(100, field(1, "conv1") + field(2, "Convolution") + field(7, blob)))


# ---- networks and videos


def onnx(path: Path, **how) -> Path:
    """The live model, to whose graph an initializer was added."""
    import onnx as library

    from fer_lib.live import inference

    model = library.load(inference.MODEL)
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "extra", library.TensorProto.FLOAT
    tensor.dims.extend(how.get("dims", [4]))
    if "location" in how:
        tensor.data_location = library.TensorProto.EXTERNAL
        for key, value in {"location": how["location"], "offset": "0", "length": "16"}.items():
            tensor.external_data.add(key=key, value=value)
    node = model.graph.node.add()
    node.op_type, node.domain, node.name = how.get("op", "Identity"), how.get("domain", ""), "extra"
    node.input.append("extra")
    node.output.append("unused")
    if "domain" in how:
        model.opset_import.add(domain=how["domain"], version=1)
    return written(path, model.SerializeToString())


def avi(path: Path, width: int, height: int) -> Path:
    """A video of one frame that claims these sides, uncompressed."""
    form = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    strh = b"vidsDIB " + struct.pack("<IIIIIIIIIIHHHH", 0, 0, 0, 1, 25, 0, 1, 0, 0, 0, 0, 0, 0, 0)

    def part(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    avih = struct.pack("<14I", 40000, 0, 0, 0, 1, 0, 1, 0, width & 0xFFFFFFFF, height & 0xFFFFFFFF, 0, 0, 0, 0)
    streams = part(b"LIST", b"strl" + part(b"strh", strh) + part(b"strf", form))
    body = part(b"LIST", b"hdrl" + part(b"avih", avih) + streams) + part(b"LIST", b"movi" + part(b"00db", bytes(64)))
    return written(path, part(b"RIFF", b"AVI " + body))


# ---- trees


def annotated(folder: Path) -> Path:
    """AffectNet's newer layout, drawn."""
    from fer_lib.data import drawn_affectnet

    drawn_affectnet.write(folder / "AffectNet", "newer", 14, 7)
    return folder / "AffectNet"


def instead(folder: Path, name: str, how) -> Path:
    """AffectNet with something else in a file's place."""
    tree = annotated(folder)
    (tree / name).unlink()
    how(tree / name)
    return tree


def posed(folder: Path, how, note: bool = False) -> Path:
    """CK+ with one sequence, of which the frame or the label is something else."""
    tree, name = folder / "CK+", "S005_001_00000011"
    frame = tree / "cohn-kanade-images/S005/001" / f"{name}.png"
    label = tree / "Emotion/S005/001" / f"{name}_emotion.txt"
    (written if note else lambda path, _: how(path))(frame, cv2.imencode(".png", np.zeros((48, 48)))[1].tobytes())
    (how if note else lambda path: written(path, "3"))(label)
    return tree


def recorded(folder: Path, how) -> Path:
    how(folder / "runs/a/b/tensorflow-seed0/metrics.json")
    return folder / "runs/a/b/tensorflow-seed0"


def faces(folder: Path, how) -> Path:
    """FER2013 as a folder of pictures, one of which is something else."""
    how(folder / "fer2013/train/happy/Training_1.jpg")
    return folder / "fer2013"


LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 9)}]}}\n" for k in range(1, 12)
)
DEEP = 200_000

NOTE = "train_set/annotations/0_exp.npy"
HEADER = f"{made_up_fer2013.HEADER}\n".encode()
XZ = lzma.compress(bytes(64 * MB), preset=0)

CASES = {
    # a table of FER2013
    "gz of zeros": ("fer2013", lambda f: gz(f / "fer2013.csv.gz", GB), ""),
    "gz of one endless row": ("fer2013", lambda f: gz(f / "fer2013.csv.gz", HEADER + b"0,", GB), ""),
    "xz of zeros": ("fer2013", lambda f: written(f / "fer2013.csv.xz", XZ * (GB // 64)), ""),
    "zip of zeros": ("fer2013", lambda f: zipped(f / "x.zip", "fer2013.csv", GB), ""),
    "zip of an endless row": ("fer2013", lambda f: zipped(f / "x.zip", "fer2013.csv", HEADER + b"0,", GB), ""),
    "zip of a picture of zeros": ("fer2013", lambda f: zipped(f / "x.zip", "train/sad/Training_1.png", GB), ""),
    "tar.gz of zeros": ("fer2013", lambda f: gz(f / "x.tar.gz", member("fer2013.csv", GB), GB, bytes(1024)), ""),
    "tar.gz of a picture": (
        "fer2013",
        lambda f: gz(f / "x.tar.gz", member("train/sad/Training_1.png", GB), GB, bytes(1024)),
        "",
    ),
    "tar.gz of what is not read": (
        "fer2013",
        lambda f: gz(f / "x.tar.gz", member("x", GB), GB, member("fer2013.csv", 0), bytes(1024)),
        "",
    ),
    "tar with an endless name": (
        "fer2013",
        lambda f: gz(f / "x.tar.gz", member("././@LongLink", GB, type=b"L"), GB, bytes(1024)),
        "",
    ),
    "tar with an endless extension": (
        "fer2013",
        lambda f: gz(f / "x.tar.gz", member("x", GB, type=b"x"), GB, bytes(1024)),
        "",
    ),
    "tar of 100,000 members": (
        "fer2013",
        lambda f: written(f / "x.tar.gz", gzip.compress(member("x", 0) * 100_000 + bytes(1024), 1)),
        "CSV files inside",
    ),
    "rows without end": ("fer2013", lambda f: alike(f / "fer2013.csv.gz"), ""),
    "tar with a hole": (
        "fer2013",
        lambda f: written(f / "x.tar", holed("fer2013.csv") + bytes(1024)),
        "0 CSV files inside",
    ),
    "npz of zeros": ("fer2013", lambda f: zipped(f / "x.npz", "pixels.npy", npy((GB * MB,)), GB), ""),
    "a device": ("fer2013", lambda f: linked(f / "fer2013.csv"), ""),
    "a device as a picture": ("fer2013", lambda f: faces(f, linked), ""),
    "a pipe as a picture": ("fer2013", lambda f: faces(f, pipe), ""),
    "ferplus, one row": ("ferplus", lambda f: written(f / "x.csv", b"Usage," + b"a" * 4 * MB), ""),
    # anybody's predictions
    "an endless row": ("predictions", lambda f: written(f / "x.csv", b"row,emotion\n" + b"1" * 4 * MB), ""),
    "an endless header": ("predictions", lambda f: written(f / "x.csv", b"row," * MB), ""),
    "an endless quoted field": (
        "predictions",
        lambda f: written(f / "x.csv", b'row,emotion\n0,"' + b"a\n" * MB),
        "",
    ),
    "predictions from a device": ("predictions", lambda f: linked(f / "x.csv"), ""),
    "predictions of zeros": ("predictions", lambda f: zipped(f / "x.npz", "ids.npy", npy((GB * MB,)), GB), ""),
    # arrays
    "npz, huge shape": ("npz", lambda f: zipped(f / "x.npz", "a.npy", npy((2**50,)), 1), ""),
    "npz, huge shape of nothing": ("npz", lambda f: zipped(f / "x.npz", "a.npy", npy((2**62, 2**62, 0)), 1), ""),
    "npz, endless text": ("npz", lambda f: zipped(f / "x.npz", "a.npy", npy((4,), "<U536870911"), 1), ""),
    "npz of a nested type": (
        "npz",
        lambda f: zipped(f / "x.npz", "a.npy", npy((1,), [("a", "u1", (2**30, 2**30))]), 1),
        "",
    ),
    "npz of objects": ("npz", lambda f: zipped(f / "x.npz", "a.npy", npy((4,), "|O"), 1), "Object arrays"),
    "npz of 100,000 members": (
        "npz",
        lambda f: many(f / "x.npz", 100_000, lambda k: (f"{k}.npy", npy((1,)) + b"0")),
        "*",
    ),
    "npy, huge shape": ("npy", lambda f: written(f / "x.npy", npy((2**50,))), "no .npy"),
    # documents
    "a billion laughs": ("yaml", lambda f: written(f / "x.yaml", LAUGHS), ""),
    "merges": ("yaml", lambda f: written(f / "x.yaml", MERGES), "aliases that stand for more than"),
    "an alias of itself": ("yaml", lambda f: written(f / "x.yaml", "a: &a [1, *a]"), "within what it stands for"),
    "a long text many times": (
        "yaml",
        lambda f: written(f / "x.yaml", f"a: &a {'x' * MB}\nb: [{', '.join(['*a'] * 5000)}]"),
        "aliases that stand for more than",
    ),
    "a deep YAML": ("yaml", lambda f: written(f / "x.yaml", "[" * DEEP), "more than 100"),
    "a tag of Python's": (
        "yaml",
        lambda f: written(f / "x.yaml", "!!python/object/apply:os.system [a]"),
        "no YAML",
    ),
    "a deep JSON": ("json", lambda f: written(f / "x.json", "[" * DEEP), "no JSON"),
    "a long number": ("json", lambda f: written(f / "x.json", "1" * 10 * MB), ""),
    "a long number of YAML": ("yaml", lambda f: written(f / "x.yaml", "1" * 10 * MB), ""),
    "YAML in sixties": ("yaml", lambda f: written(f / "x.yaml", ":".join(["1"] * MB)), ""),
    "JSON from a device": ("json", lambda f: linked(f / "x.json"), ""),
    "JSON from a pipe": ("json", lambda f: pipe(f / "x.json"), ""),
    "a record from a pipe": ("record", lambda f: recorded(f, pipe), ""),
    "a record from a device": ("record", lambda f: recorded(f, linked), ""),
    # pictures
    "PNG, huge": ("picture", lambda f: written(f / "x.png", png(2**30, 2**30, b"")), "at most"),
    "PNG, as large as may be": ("picture", lambda f: written(f / "x.png", png(2**14, 2**14, zlib.compress(b"\0"))), ""),
    "PNG with a huge text": (
        "picture",
        lambda f: written(f / "x.png", png(8, 8, b"", chunk(b"zTXt", b"a\0\0" + zlibbed(GB)))),
        "",
    ),
    "PNG with a huge profile": (
        "picture",
        lambda f: written(f / "x.png", png(8, 8, b"", chunk(b"iCCP", b"a\0\0" + zlibbed(GB)))),
        "",
    ),
    "PNG with huge XMP": (
        "picture",
        lambda f: written(
            f / "x.png",
            png(8, 8, b"", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlibbed(GB))),
        ),
        "",
    ),
    "PNG with more pixels than it says": (
        "picture",
        lambda f: written(f / "x.png", png(8, 8, zlibbed(GB))),
        "*",
    ),
    "JPEG, huge": ("picture", lambda f: written(f / "x.jpg", jpeg(65500, 65500)), "at most"),
    "JPEG, as large as may be": ("picture", lambda f: written(f / "x.jpg", jpeg(16384, 16384)), ""),
    "GIF, huge": ("picture", lambda f: written(f / "x.gif", gif(65535, 65535)), "at most"),
    "GIF of 100,000 frames": ("animation", lambda f: written(f / "x.gif", gif(16, 16, 100_000)), "*"),
    "BMP, huge": ("picture", lambda f: written(f / "x.bmp", bmp(2**31 - 1, 2**31 - 1)), "at most"),
    "TIFF, huge": ("picture", lambda f: written(f / "x.tif", tiff(2**31, 2**31)), "at most"),
    "TIFF that claims itself as the next page": (
        "picture",
        lambda f: written(f / "x.tif", tiff(4, 1)[:-4] + struct.pack("<I", 12)),
        "*",
    ),
    "TIFF with a huge strip": ("picture", lambda f: written(f / "x.tif", tiff(2, 2, t279=2**32 - 1)), "*"),
    "PNM, huge": ("picture", lambda f: written(f / "x.ppm", b"P6 99999999 99999999 255\n"), "at most"),
    # weights
    "HDF5, huge shape": ("weights", lambda f: hdf5(f / "x.h5", (2**40,)), ""),
    "HDF5, huge packed": (
        "weights",
        lambda f: hdf5(f / "x.h5", (2**40,), compression="gzip", chunks=(2**20,)),
        "an array of",
    ),
    "HDF5, packed zeros": (
        "weights",
        lambda f: hdf5(f / "x.h5", (2**28,), compression="gzip", chunks=(2**20,), fillvalue=0),
        "",
    ),
    "HDF5, a chunk of zeros": ("weights", lambda f: chunked(f / "x.h5"), ""),
    "MATLAB of zeros": ("weights", lambda f: matlab(f / "x.mat"), ""),
    "Caffe, huge shape": ("weights", lambda f: caffe(f / "x.caffemodel"), ""),
    "PyTorch, a pickle of zeros": ("weights", lambda f: zipped(f / "x.pth", "archive/data.pkl", GB), ""),
    "PyTorch, a device": ("weights", lambda f: linked(f / "x.pth"), ""),
    "HDF5, a pipe": ("weights", lambda f: pipe(f / "x.h5"), ""),
    # networks and videos
    "ONNX, data elsewhere": ("network", lambda f: onnx(f / "x.onnx", location="/etc/passwd"), ""),
    "ONNX, data above": ("network", lambda f: onnx(f / "x.onnx", location="../../../../etc/passwd"), ""),
    "ONNX, huge tensor": ("network", lambda f: onnx(f / "x.onnx", dims=[2**40]), ""),
    "ONNX, an operator of nobody": ("network", lambda f: onnx(f / "x.onnx", op="Own", domain="com.example"), ""),
    "ONNX from a device": ("network", lambda f: linked(f / "x.onnx"), ""),
    "a huge video": ("source", lambda f: avi(f / "x.avi", 30000, 30000), ""),
    # trees
    "AffectNet, a picture is a device": ("affectnet", lambda f: instead(f, "train_set/images/0.jpg", linked), "*"),
    "AffectNet, a picture is a pipe": ("affectnet", lambda f: instead(f, "train_set/images/0.jpg", pipe), "*"),
    "AffectNet, a note is a device": (
        "affectnet",
        lambda f: instead(f, NOTE, linked),
        "*",
    ),
    "AffectNet, a note is a pipe": ("affectnet", lambda f: instead(f, NOTE, pipe), "*"),
    "CK+, a frame is a device": ("ckplus", lambda f: posed(f, linked), ""),
    "CK+, a frame is a pipe": ("ckplus", lambda f: posed(f, pipe), ""),
    "CK+, a label is a device": ("ckplus", lambda f: posed(f, linked, note=True), ""),
    "CK+, a label is a pipe": ("ckplus", lambda f: posed(f, pipe, note=True), ""),
    # records on their way
    "records of zeros": ("imported", lambda f: gz(f / "x.tar", member("SHA256SUMS", GB), GB, bytes(1024)), "refused"),
}


def many(path: Path, count: int, member) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(count):
            archive.writestr(*member(k))
    return path


@pytest.fixture(scope="module")
def reading():
    with hostile.Reading() as program:
        yield program


SLOW = ("npz of 100,000 members", "tar of 100,000 members", "rows without end", "HDF5, a chunk of zeros",
        "HDF5, huge packed", "MATLAB of zeros", "tar with an endless extension", "zip of an endless row")  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_it_is_refused_soon_and_without_much_memory(reading, tmp_path, name):
    reader, make, words = CASES[name]
    path = make(tmp_path)
    found = reading.tried(reader, path)
    print(json.dumps({"name": name, "size": path.stat().st_size if path.is_file() else 0, **found}))
    if words != "*":
        assert found["error"].startswith(("ValueError: ", "OSError: ", "FileNotFoundError: ")), found
        assert words in found["error"]
    assert found["seconds"] < SECONDS and found["megabytes"] < MEGABYTES, found

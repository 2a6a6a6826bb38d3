"""NumPy's files, whole and damaged in every way."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.files import arrays

ONE, OTHER = np.arange(2400, dtype=np.uint8).reshape(100, 24), np.array([1.5, 2.5])
TO_SAY = ("two arrays", "write it again")


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "x.npz", one=ONE, other=OTHER)
    return tmp_path / "x.npz"


def content_of(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_arrays_come_back_by_name(path):
    found = arrays.read_npz(path, path, *TO_SAY)
    assert list(found) == ["one", "other"]
    np.testing.assert_array_equal(found["one"], ONE)
    np.testing.assert_array_equal(found["other"], OTHER)
    assert list(arrays.read_npz(path, path, *TO_SAY, names=("other",))) == ["other"]
    with open(path, "rb") as stream:
        assert arrays.read_npz(stream, path, *TO_SAY)["other"].dtype == np.float64
        assert not stream.closed
    np.testing.assert_array_equal(arrays.read_npy(content_of(ONE), "x", *TO_SAY), ONE)
    np.save(path.with_name("x.npy"), ONE)
    mapped = arrays.map_npy(path.with_name("x.npy"), *TO_SAY)
    np.testing.assert_array_equal(mapped, ONE)
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable


def with_member(path, content: bytes, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("one.npy", content)
    return path


def patched(path, offset, byte, where=b"PK\x01\x02"):
    """Change a byte of the last header of an archive's directory."""
    content = bytearray(path.read_bytes())
    content[content.rindex(where) + offset] = byte
    path.write_bytes(content)


HEADER = content_of(ONE)[:128]


def shaped(shape: str) -> bytes:
    """A header that says another shape."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return HEADER[:10] + text.encode()


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"row,emotion\n"),
    "half": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "a single array": lambda path: path.write_bytes(content_of(ONE)),
    "a pickle": lambda path: path.write_bytes(b"\x80\x04N."),
    "objects": lambda path: np.savez(path, one=np.array([None])),
    "overwritten": lambda path: path.write_bytes(path.read_bytes()[:300] + bytes(300) + path.read_bytes()[600:]),
    "an unknown method": lambda path: [patched(with_member(path, content_of(ONE)), 10, 99)],
    "a password": lambda path: [patched(with_member(path, content_of(ONE)), 8, 1)],
    "torn compressed data": lambda path: [
        with_member(path, content_of(ONE), zipfile.ZIP_DEFLATED),
        path.write_bytes(path.read_bytes()[:60] + b"\xff" * 20 + path.read_bytes()[80:]),
    ],
    "torn LZMA": lambda path: [
        with_member(path, content_of(ONE), zipfile.ZIP_LZMA),
        path.write_bytes(path.read_bytes()[:48] + b"\xff" * 20 + path.read_bytes()[68:]),
    ],
    "a member that is cut": lambda path: with_member(path, content_of(ONE)[:500]),
    "an empty member": lambda path: with_member(path, b""),
    "a member of text": lambda path: with_member(path, b"emotion,pixels"),
    "a header of no Python": lambda path: with_member(path, HEADER.replace(b"'descr':", b"'descr\x00(")),
    "a header of other Python": lambda path: with_member(path, HEADER.replace(b"'descr'", b"1/0, (("[:7])),
    "a header that never ends": lambda path: with_member(path, HEADER.replace(b"}", b"(")),
    "an unknown type": lambda path: with_member(path, HEADER.replace(b"|u1", b"|q9")),
    "more than any memory": lambda path: with_member(path, shaped("(10000000000000, 24)")),
    "a shape that overflows": lambda path: with_member(path, shaped("(99999999999999999999,)")),
    "a negative shape": lambda path: with_member(path, shaped("(-100, 4)") + bytes(400)),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("opened", [False, True], ids=["path", "stream"])
def test_whatever_is_damaged_is_refused(path, damage, opened):
    damage(path)
    with open(path, "rb") as stream, pytest.raises(ValueError) as error:
        arrays.read_npz(stream if opened else path, path, *TO_SAY, names=("one",))
    text = str(error.value)
    assert text.startswith(f"{path}: found no ") and text.endswith(", expected two arrays; write it again")
    assert "\n" not in text and len(text) < 600


def test_an_array_that_is_missing_is_named(path):
    with pytest.raises(ValueError, match=r"x.npz: found no such array \(.*three.*\), expected two arrays; write it"):
        arrays.read_npz(path, path, *TO_SAY, names=("one", "three"))


def test_a_file_that_cannot_be_opened_is_the_system_s_to_say(tmp_path):
    with pytest.raises(FileNotFoundError):
        arrays.read_npz(tmp_path / "x.npz", "x", *TO_SAY)
    with pytest.raises(FileNotFoundError):
        arrays.map_npy(tmp_path / "x.npy", *TO_SAY)
    with pytest.raises(IsADirectoryError):
        arrays.map_npy(tmp_path, *TO_SAY)


def test_nothing_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    np.save(tmp_path / "x.npy", np.array([Trap()]))
    np.savez(tmp_path / "x.npz", one=np.array([Trap()]))
    for read in (
        lambda: arrays.read_npy((tmp_path / "x.npy").read_bytes(), "x", *TO_SAY),
        lambda: arrays.map_npy(tmp_path / "x.npy", *TO_SAY),
        lambda: arrays.read_npz(tmp_path / "x.npz", "x", *TO_SAY),
    ):
        with pytest.raises(ValueError, match="found no .np"):
            read()
    assert not (tmp_path / "executed").exists()


@settings(deadline=None, max_examples=150)
@given(data=st.data(), version=st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_any_change_of_an_npy_is_read_or_refused(tmp_path_factory, data, version):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.arange(24, dtype=np.int16), version)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    path = tmp_path_factory.getbasetemp() / "changed.npy"
    path.write_bytes(content)
    for read in (lambda: arrays.read_npy(content, path, *TO_SAY), lambda: arrays.map_npy(path, *TO_SAY)):
        try:
            assert isinstance(read(), np.ndarray)
        except ValueError as error:
            assert str(error).startswith(f"{path}: found no .npy that can be read (")


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_change_of_an_npz_is_read_or_refused(data):
    stream = io.BytesIO()
    (np.savez_compressed if data.draw(st.booleans()) else np.savez)(stream, one=np.arange(24), other=OTHER)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        for array in arrays.read_npz(io.BytesIO(content), "x.npz", *TO_SAY).values():
            assert isinstance(array, np.ndarray)
    except ValueError as error:
        assert str(error).startswith("x.npz: found no ")


def test_predictions_that_are_no_finite_numbers_are_counted_or_described():
    for sound in (np.zeros((0, 7)), np.zeros((3, 0)), np.ones(3, np.float16), np.ones((2, 3, 4)), np.ones((2, 2), int)):
        arrays.check_finite(sound, "x", "stop")
    with pytest.raises(ValueError, match=r"^x: found 2 of 3 predictions with NaN or infinite numbers, .*; stop$"):
        arrays.check_finite(np.array([[1, np.nan], [1, 2], [np.inf, np.nan]]), "x", "stop")
    for odd, found in ((np.array(0.5), r"\(\) and type float64"), (np.array(["a"]), r"\(1,\) and type <U1")):
        with pytest.raises(ValueError, match=f"^x: found an array of shape {found}, expected numbers, a row for each"):
            arrays.check_finite(odd, "x", "stop")

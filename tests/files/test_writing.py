"""Files are written whole or not at all, whoever else writes them; or by one process alone."""

import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fer_lib import paths
from fer_lib.files import writing


def in_child(code: str, *arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", f"import sys\nfrom pathlib import Path\nfrom fer_lib.files import writing\n{code}"]
    options |= {"cwd": paths.ROOT, "text": True, "stderr": subprocess.PIPE}
    return subprocess.run([*command, *map(str, arguments)], **{"stdout": subprocess.PIPE} | options)


@pytest.mark.parametrize("text", ["", "a\nb\r\n", "é–\n", "\udcff"])
def test_a_text_is_written_as_it_is(tmp_path, text):
    writing.replace_text(tmp_path / "x", text)
    assert (tmp_path / "x").read_bytes() == text.encode("utf-8", "surrogateescape")
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_its_mode_is_that_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        for _ in range(2):
            writing.replace_bytes(tmp_path / "x", b"1")
            assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~umask
    finally:
        os.umask(before)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "target").write_text("old")
    (tmp_path / "link").symlink_to("a/target")
    (tmp_path / "dangling").symlink_to("a/new")
    for name, target in {"link": "target", "dangling": "new"}.items():
        writing.replace_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink() and (tmp_path / "a" / target).read_text() == "new"
    assert sorted(os.listdir(tmp_path / "a")) == ["new", "target"]


def test_a_long_name_has_room_for_what_is_beside_it(tmp_path):
    for name in ("x" * 255, "é" * 127, "面" * 85):
        writing.replace_text(tmp_path / name, "1")
        assert (tmp_path / name).read_text() == "1"


def test_what_is_no_file_is_written_into(tmp_path):
    code = "writing.replace_text(Path('/dev/stdout'), 'to a pipe')"
    assert in_child(code).stdout == "to a pipe"
    with open(tmp_path / "out", "w") as out:
        assert in_child(f"{code}; print(', more')", stdout=out).returncode == 0
    assert (tmp_path / "out").read_text() == "to a pipe, more\n"
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    writing.replace_bytes(tmp_path / "pipe", b"content")
    assert reader.communicate(timeout=10)[0] == b"content" and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        writing.replace_bytes(Path("/dev/full"), b"1")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_disk_without_room_leaves_the_older_file_and_nothing_else(tmp_path):
    """A limit on files' sizes stands for it."""
    (tmp_path / "x").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += "writing.replace_bytes(Path(sys.argv[1]), b'1' * 10_000)"
    done = in_child(
        code, tmp_path / "x", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    )
    assert f"OSError: [Errno {errno.EFBIG}] File too large: '{tmp_path / 'x'}'" in done.stderr
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_it_is_written_leaves_the_older_file_and_nothing_else(tmp_path, error):
    (tmp_path / "x").write_text("old")
    with pytest.raises(error), writing.replacing(tmp_path / "x") as file:
        file.write(b"half")
        raise error
    assert (tmp_path / "x").read_text() == "old" and os.listdir(tmp_path) == ["x"]


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    for path in (tmp_path / "none" / "x", tmp_path):
        with pytest.raises(OSError, match=f"'{path}'$"):
            writing.replace_text(path, "1")
    with pytest.raises(OSError, match="other"), writing.replacing(tmp_path / "x"):
        open(tmp_path / "other")
    assert os.listdir(tmp_path) == []


def test_of_many_who_write_at_once_each_writes_it_whole(tmp_path):
    """Threads of this process, and another process."""
    path, wrong = tmp_path / "x", []
    code = "for _ in range(100): writing.replace_text(Path(sys.argv[1]), 'c' * 100_000)"
    path.write_text("a" * 100_000)

    def write(letter: str) -> None:
        for _ in range(100):
            writing.replace_text(path, letter * 100_000)

    threads = [threading.Thread(target=write, args=[letter]) for letter in "ab"]
    threads.append(threading.Thread(target=lambda: wrong.append(in_child(code, path).stderr)))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        text = path.read_text()
        assert len(text) == 100_000 and len(set(text)) == 1
    assert wrong == [""] and os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no /dev/stdout")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("how", ["ab", "wb"])
def test_an_open_stream_is_gone_on_with(tmp_path, name, how):
    (tmp_path / "log").write_text("older\n")
    code = "print('before', flush=True)\nwith writing.alone(Path(sys.argv[1])) as file:"
    code += "\n writing.empty(file); writing.write_all(file, b'now\\n')\nprint('after')"
    with open(tmp_path / "log", how) as log:
        assert in_child(code, Path(name), stdout=log).stderr == ""
    assert (tmp_path / "log").read_text() == ("older\n" if how == "ab" else "") + "before\nnow\nafter\n"


def test_alone_is_alone_and_empties_what_was_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("old and long")
    code = "with writing.alone(Path(sys.argv[1])) as file: file.truncate(0); file.write(b'other')"
    with writing.alone(path) as file:
        assert path.read_text() == "old and long"
        file.truncate(0)
        file.write(b"mine")
        assert path.read_bytes() == b"mine"  # nothing waits in memory
        with pytest.raises(ValueError, match="x: found a file that is being written, expected a file of one's own"):
            with writing.alone(path):
                pass
        assert "ValueError: " in in_child(code, path).stderr and path.read_bytes() == b"mine"
    assert in_child(code, path).returncode == 0 and path.read_bytes() == b"other"
    with pytest.raises(FileNotFoundError):
        with writing.alone(tmp_path / "none" / "x"):
            pass


def test_alone_writes_where_there_are_no_locks(tmp_path, monkeypatch):
    def none(*of):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(writing.fcntl, "flock", none)
    with writing.alone(tmp_path / "x") as file:
        file.write(b"1")
    monkeypatch.setattr(writing, "fcntl", None)
    with writing.alone(tmp_path / "x") as file:
        file.truncate(0)
        file.write(b"2")
    assert (tmp_path / "x").read_bytes() == b"2"

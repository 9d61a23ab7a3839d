"""The one writer: whole or not at all, and nothing lost that stood there."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rgru_codec import files
from rgru_codec.files import write_file

from .conftest import environment

posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert left(tmp_path) == ["a", "usual"]


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    write_file(tmp_path / "a", b"new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_time_and_permissions_come_from_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    source.chmod(0o600)
    os.utime(source, ns=(10**18, 10**18 + 123_456_700))
    write_file(tmp_path / "a", b"new", like=source.stat())
    assert (tmp_path / "a").stat().st_mtime_ns == source.stat().st_mtime_ns
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert left(tmp_path) == ["a"]


def test_content_is_synced_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(left(tmp_path)))
    write_file(tmp_path / "a", b"new")
    ((name,),) = seen
    assert name.startswith(".rgru-")
    assert name.endswith(".part")


@posix
def test_names_of_any_legal_length(tmp_path: Path) -> None:
    name = "字" * 80 + ".rgru"  # 245 bytes
    write_file(tmp_path / name, b"new")
    assert left(tmp_path) == [name]


@posix
def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "a")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "a").read_bytes() == b"new"


@posix
def test_hard_links_stay_together(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"longer than the new content")
    os.link(tmp_path / "a", tmp_path / "b")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "b").read_bytes() == b"new"


@posix
def test_a_write_protected_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(PermissionError, match="write-protected"):
        write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"


@posix
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_writable_file_in_a_read_only_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import tempfile

    def refuse(**options: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "a").write_bytes(b"old content")
    monkeypatch.setattr(tempfile, "mkstemp", refuse)  # root may write into any folder
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    with pytest.raises(OSError, match=os.strerror(number)):
        write_file(tmp_path / "b", b"new")


@posix
def test_a_file_that_is_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(path: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", busy)
    write_file(tmp_path / "a", b"new and longer")
    assert (tmp_path / "a").read_bytes() == b"new and longer"
    assert left(tmp_path) == ["a"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_a_full_disk_in_place_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, start: int, length: int) -> None:
        os.ftruncate(handle, 8)  # some of it was reserved
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_bytes(b"old")
    os.link(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "a", b"something new")
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False], ids=["linked", "without links"])
def test_a_name_that_is_taken_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.delattr(os, "link")
    write_file(tmp_path / "free", b"new", overwrite=False)
    assert (tmp_path / "free").read_bytes() == b"new"
    monkeypatch.setattr(os, "fsync", lambda handle: (tmp_path / "a").write_bytes(b"theirs"))
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "a", b"new", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert left(tmp_path) == ["a", "free"]


@posix
def test_pipes_are_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_file(tmp_path / "pipe", b"new")
    reader.join(10)
    assert got == [b"new"]
    write_file(os.devnull, b"new")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_open_descriptors_are_written_to(tmp_path: Path, name: str) -> None:
    if not os.path.lexists(name):
        pytest.skip(f"there is no {name} here")
    script = f"from rgru_codec.files import write_file; write_file({name!r}, b'new')"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment(), capture_output=True, check=True)
    assert result.stdout == b"new"
    with (tmp_path / "log").open("wb") as log:
        log.write(b"before ")
        log.flush()
        subprocess.run(command, env=environment(), stdout=log, check=True)
    assert (tmp_path / "log").read_bytes() == b"before new"


def test_descriptors_have_names() -> None:
    assert files.descriptor_of("/dev/stdout") == 1
    assert files.descriptor_of("/dev/fd/63") == 63
    assert files.descriptor_of("photo.rgru") is None


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "no" / "a"):
        with pytest.raises(OSError, match=r"directory"):
            write_file(target, b"new")

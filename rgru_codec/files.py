"""Writing files so that nothing is ever half written, and nothing is lost that stood there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

_DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)")
_IN_PLACE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV})
"""What making or renaming a file says in a folder without write permission, at a mount point."""

PICTURE_SUFFIXES = frozenset(
    ".apng .avif .avifs .bmp .cr2 .cr3 .cur .dcx .dds .dib .djvu .dng .eps .exr .fits .gif .hdr "  # noqa: SIM905
    ".heic .heif .hif .icns .ico .im .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .jxl .jxr "
    ".mpo .msp .nef .orf .pbm .pcx .pfm .pgm .png .pnm .ppm .ps .psd .qoi .ras .raw .rgb .rgba "
    ".sgi .svg .tga .tif .tiff .wdp .webp .wmf .xbm .xcf .xpm".split()
)
"""What pictures are called, whether they can be read and written here or not."""


def descriptor_of(target: str | os.PathLike[str]) -> int | None:
    """Return the open file that a name such as ``/dev/stdout`` or ``/dev/fd/63`` stands for."""
    found = _DESCRIPTOR.fullmatch(os.fsdecode(target))
    if found is None:
        return None
    return int(found[2] or ("stdin", "stdout", "stderr").index(found[1]))


def write_file(
    target: str | os.PathLike[str],
    content: bytes | bytearray | memoryview,
    *,
    overwrite: bool = True,
    like: os.stat_result | None = None,
    times: bool = True,
) -> None:
    """Write a whole file, which takes its name only when all has been written and synced.

    On any error nothing is left behind, and a file that had the name before is untouched. Links
    stay links. Devices, pipes and open descriptors are written to as they are. A file is written
    in place, its room reserved first, where it cannot be replaced: if it has other names (hard
    links), is a mount point, or lies in a folder without write permission.

    Args:
        target: where to.
        content: all of it.
        overwrite: whether a file that has the name may be replaced; if not, that is refused at
            the very moment of naming, so that one which appears meanwhile is safe too.
        like: the file that this one comes from: it gives a new file its permissions (the owner
            may always write it). A file that is replaced keeps its own.
        times: whether the time comes from ``like`` as well.

    Raises:
        FileExistsError: there is a file, and ``overwrite`` is false.
        PermissionError: it is write-protected, or may not be written.
        OSError: it cannot be written.
    """
    descriptor = descriptor_of(target)
    if descriptor is not None:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        return
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    try:
        there = Path(target).stat()
    except FileNotFoundError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        with open(target, "wb") as file:  # noqa: PTH123 (a pipe or a device, by its own name)
            file.write(content)
        return
    # Root is held to the bits of the mode as well.
    if there is not None and not (there.st_mode & 0o222 and os.access(target, os.W_OK)):
        raise PermissionError(errno.EACCES, "write-protected", os.fspath(target))
    path = Path(os.path.realpath(target))  # a link stays a link
    try:
        if there is not None and there.st_nlink > 1:
            raise OSError(errno.EBUSY, "other names of the file have to keep their content")
        _replace(path, content, overwrite, there, like, times)
    except OSError as error:
        if there is None or error.errno not in _IN_PLACE:
            raise OSError(error.errno, error.strerror, os.fspath(target)) from None
        _write_in_place(path, content)
        if like is not None and times:
            os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


def _replace(
    path: Path,
    content: bytes | bytearray | memoryview,
    overwrite: bool,
    there: os.stat_result | None,
    like: os.stat_result | None,
    times: bool,
) -> None:
    """Write a temporary file beside the one that is meant, then give it the name."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=".rgru-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        with contextlib.suppress(PermissionError):  # file systems without permissions
            os.chmod(name, _mode(there, like))  # noqa: PTH101 (beside chown and utime)
            if there is not None and hasattr(os, "chown"):
                os.chown(name, there.st_uid, there.st_gid)
        if like is not None and times:
            os.utime(name, ns=(like.st_atime_ns, like.st_mtime_ns))
        if overwrite:
            Path(name).replace(path)
        else:
            _name_if_free(Path(name), path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _name_if_free(temporary: Path, path: Path) -> None:
    """Give a file its name unless that is taken; no moment lies between asking and doing."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError, NotImplementedError):  # no hard links: claim the name first
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        temporary.replace(path)
    else:
        temporary.unlink()


def _mode(there: os.stat_result | None, like: os.stat_result | None) -> int:
    """Return the permissions of the file that is replaced, of its source, or the usual."""
    if there is not None:
        return stat.S_IMODE(there.st_mode)
    if like is not None:
        return like.st_mode & 0o777 | 0o200
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _write_in_place(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Overwrite a file. What it takes is reserved first: a full disk leaves the old content."""
    handle = os.open(path, os.O_WRONLY)
    with os.fdopen(handle, "wb") as file:
        size = os.fstat(handle).st_size
        if hasattr(os, "posix_fallocate") and len(content) > size:
            try:
                os.posix_fallocate(handle, 0, len(content))
            except OSError as error:
                os.ftruncate(handle, size)
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
        file.write(content)
        file.flush()
        os.ftruncate(handle, len(content))
        os.fsync(handle)

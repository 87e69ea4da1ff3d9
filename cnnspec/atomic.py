"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


def write(path: str | Path, content: bytes) -> None:
    """Write a file so that, whatever happens, either the old or the new content is there, whole.

    Raise OSError, with the file name, where it cannot be written.
    """
    target = Path(path).resolve()  # a link stays a link
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_beside(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside a file, in which files can be made ready for `move`; it is removed at the end.

    Raise OSError, with the file name, where there can be none.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move(ready: Path, path: str | Path) -> None:
    """Move a finished file of the same disk to its place, where it replaces another; raise OSError as `write` does."""
    target = Path(path).resolve()
    try:
        with ready.open("rb+") as file:
            os.fsync(file.fileno())
        ready.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _flush_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The token in the page's address, without which nothing is handed out: other users of the machine do not know it."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from cnnspec.machine import cache_folder

KEY_FILE = "live.key"
_BYTES = 32


def token(spec: str, port: int) -> str:
    """Return the token of a spec on a port: the same after a restart, so that an open page finds its server again."""
    about = f"{Path(spec).resolve()}\0{port}".encode("utf-8", "surrogateescape")
    return hmac.new(_key(cache_folder() / KEY_FILE), about, "sha256").hexdigest()[:32]


def _key(path: Path) -> bytes:
    """Return the user's key, made at random at the first time; one for this process where it cannot be kept."""
    fresh = secrets.token_bytes(_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(fresh)
    except FileExistsError:
        return _kept(path) or fresh
    except OSError:
        pass
    return fresh


def _kept(path: Path) -> bytes | None:
    """Return the key of a file that is whole, and that nobody else can read."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            private = os.name != "posix" or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
            key = file.read(_BYTES + 1)
    except OSError:
        return None
    return key if private and len(key) == _BYTES else None

"""Downloads into the user's cache: verified by SHA-256, and resumed where they were interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from cnnspec.errors import DataError

TIMEOUT = 30
"""Seconds without an answer after which a server counts as unreachable."""
CHUNK = 1 << 16
"""Bytes that are received at a time, and the most that an interruption loses."""


def require(module: str, purpose: str) -> Any:
    """Import a module of the extra `data`; raise DataError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.partition(".")[0], module)
        raise DataError(f'{purpose} needs {package}, which is not installed: pip install "cnnspec[data]"') from error


def fetch(folder: Path, files: Mapping[str, str], servers: tuple[str, ...]) -> None:
    """Download files (name -> SHA-256) from the first server that has them; raise DataError where that fails.

    A file gets its own name only after its checksum was verified.
    """
    pooch = require("pooch", "downloading data")
    pooch.get_logger().setLevel("WARNING")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        for name, checksum in files.items():
            failures = []
            for server in servers:
                download = _resuming(folder / f"{name}.part")
                try:
                    pooch.retrieve(server + name, f"sha256:{checksum}", name, folder, downloader=download)
                    break
                except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong checksum a ValueError
                    failures.append(f"{server + name}: {_reason(error)}")
            else:
                raise DataError("\n  ".join(["the download failed:", *failures]))


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Hold a lock, so that one process downloads and the others find its files (not on Windows)."""
    with lock.open("w") as file:
        with suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)  # released when the process ends, however it ends
        yield


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer"
    return "no connection" if isinstance(error, requests.ConnectionError) else str(error)


def _resuming(part: Path) -> Callable[[str, str, Any], None]:
    """Return a downloader for pooch that writes to `part`, and continues what an earlier attempt wrote there."""

    def download(url: str, output_file: str, pooch: Any) -> None:
        import requests

        have = part.stat().st_size if part.exists() else 0
        # `identity`: ranges count the bytes of the file, not of a compressed form of it
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:  # else nothing is left to fetch
                response.raise_for_status()
                if response.status_code != requests.codes.partial_content:
                    have = 0
                _receive(response, part, have)
        part.replace(output_file)

    return download


def _receive(response: Any, part: Path, have: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    length = response.headers.get("Content-Length")
    with (
        part.open("ab" if have else "wb") as file,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(part.stem, completed=have, total=have + int(length) if length else None)
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            progress.advance(task, len(chunk))

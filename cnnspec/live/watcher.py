"""Changes of files, by events of the system and, where those fail, by looking."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

Stamp = tuple[int, int, int, int]
"""Inode, size, and the times of the last change of content and of metadata in nanoseconds."""
Files = Callable[[], Collection[Path]]

QUIET, BURST, LOOK = 20, 100, 250
"""In milliseconds: the silence after an event that ends a burst of them, the longest burst, and how often files are
looked at where no event comes, as on network drives."""


class Watcher:
    """Calls a function with all files at first, and then with those that were changed, made, moved or removed.

    The folders are watched rather than the files, since most editors save by moving a new file to the name.
    """

    def __init__(self, files: Files, on_change: Callable[[set[Path]], None]) -> None:
        self._files = files
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._stop.set()

    def join(self) -> None:
        """Wait until the thread is over."""
        self._thread.join()

    def _run(self) -> None:
        from watchfiles import watch

        stamps = self._report({}, set())
        while not self._stop.is_set():
            folders = _folders(self._files())
            try:
                for events in watch(
                    *folders,
                    watch_filter=None,
                    step=QUIET,
                    debounce=BURST,
                    rust_timeout=LOOK,
                    yield_on_timeout=True,
                    recursive=False,
                    stop_event=self._stop,
                    raise_interrupt=False,
                ):
                    touched = {Path(path) for _, path in events}
                    stamps = self._report(stamps, touched)
                    if _folders(self._files()) != folders:
                        break
            except (OSError, RuntimeError):  # a folder went away in between, or the system has no more watches
                self._stop.wait(LOOK / 1000)
                stamps = self._report(stamps, set())

    def _report(self, before: dict[Path, Stamp | None], touched: set[Path]) -> dict[Path, Stamp | None]:
        """Call the function with the files that have changed; return how they are now."""
        now = {path: _stamp(path) for path in self._files()}
        # An event counts by itself: two changes within a tick of the clock leave the same stamp.
        changed = {
            path for path, stamp in now.items() if path in touched or path not in before or before[path] != stamp
        }
        if changed:
            self._on_change(changed)
        return now


def places(path: str | Path) -> set[Path]:
    """Return where a file is, absolute: its name and, for a link, what that leads to."""
    named = Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps `..`)
    try:
        return {named, named.resolve()}
    except (OSError, RuntimeError):  # a circle of links
        return {named}


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _folders(files: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Return the folders that files are in, or the nearest ones that exist, and which those are on the disk."""
    found = {}
    for file in files:
        for folder in file.parents:
            if folder.is_dir():
                status = folder.stat()
                found[folder] = status.st_dev, status.st_ino
                break
    return found

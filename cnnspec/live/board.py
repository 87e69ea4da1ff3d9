"""What the page shows, by section: the latest state alone, so that nothing piles up for slow readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Listener = Callable[[], None]


class Section(NamedTuple):
    """The content of a section, and the version of the board that it is from."""

    version: int
    content: Any


class Board:
    """Sections by name. Safe to use from several threads; listeners are called in the thread that publishes."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._version = 0
        self._sections: dict[str, Section] = {}
        self._listeners: list[Listener] = []

    def publish(self, **sections: Any) -> None:
        """Show these sections, all at once; those that are as before do not count as changed."""
        with self._lock:
            changed = {
                name: content
                for name, content in sections.items()
                if name not in self._sections or self._sections[name].content != content
            }
            if not changed:
                return
            self._version += 1
            self._sections |= {name: Section(self._version, content) for name, content in changed.items()}
        self._notify()

    def since(self, version: int) -> tuple[int, dict[str, Any]]:
        """Return the present version, and the sections that changed after another one; all of them after 0."""
        with self._lock:
            return self._version, {name: s.content for name, s in self._sections.items() if s.version > version}

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Call a function whenever a section changes, and when the board is closed."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    @property
    def listeners(self) -> int:
        """The number of readers that are connected."""
        return len(self._listeners)

    def close(self) -> None:
        """Tell every reader that nothing follows."""
        self.closed = True
        self._notify()

    def _notify(self) -> None:
        with self._lock:
            listeners = [*self._listeners]
        for listener in listeners:
            listener()

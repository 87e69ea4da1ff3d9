"""What is watched, checked and computed, in threads beside the server; the results go to the board.

A change of the spec or of a spec that it extends leads to a check, and a valid one to new maps of the picture; so does
a change of the weights. A change of the run's log leads to new curves. Of each kind one job runs and one waits at most.
"""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path

from cnnspec.errors import CnnspecError
from cnnspec.graph.spec import Spec
from cnnspec.live import network, pages
from cnnspec.live.board import Board
from cnnspec.live.checking import Checked, check_with_files, files_of
from cnnspec.live.curves import curves_of
from cnnspec.live.curves import files_of as files_of_run
from cnnspec.live.latest import Latest
from cnnspec.live.network import Computed, Picture, weight_files_of
from cnnspec.live.options import Watched
from cnnspec.live.watcher import Watcher

SAVING = 0.15
"""Seconds that a file may be empty or missing while an editor saves it, before that is shown."""


class Session:
    """The live state of a spec; `start` begins to watch it, and `close` ends that."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.board = Board()
        self.pictures: dict[str, bytes] = {}
        """The maps that the page shows, by the last part of their address."""
        self._lock = threading.Lock()
        self._spec: Spec | None = None
        self._picture: Picture | None = None
        self._numbers = count(1)
        self._spec_files = frozenset(files_of(watched.spec))
        self._weight_files = frozenset(weight_files_of(watched.weights, None))
        self._run_files = frozenset(files_of_run(watched.run)) if watched.run else frozenset()
        self._checker = Latest("check", self._report)
        self._runner = Latest("network", self._report)
        self._reader = Latest("curves", self._report)
        self._watcher = Watcher(self.files, self.changed)

    def files(self) -> frozenset[Path]:
        """Return the files that are watched."""
        return self._spec_files | self._weight_files | self._run_files

    def start(self) -> None:
        """Check the spec, and watch from now on."""
        self.board.publish(**pages.without_picture())
        self._watcher.start()

    def close(self) -> None:
        """Watch no longer, and tell the readers of the board; what is being computed is given up."""
        self._watcher.close()
        for worker in (self._checker, self._runner, self._reader):
            worker.close()
        self.board.close()

    def changed(self, files: set[Path]) -> None:
        """Renew what depends on the files."""
        if files & self._spec_files:
            self._checker.submit(self._check)
        if files & self._weight_files:
            self._runner.submit(self._compute)
        if files & self._run_files:
            self._reader.submit(self._read_run)

    def show_picture(self, picture: Picture) -> None:
        """Show the maps of a picture, from now on for each state of the spec."""
        with self._lock:
            self._picture = picture
        self._runner.submit(self._compute)

    def _check(self) -> None:
        checked = self._checked()
        if checked.may_be_unfinished:
            self._checker.pause(SAVING)
            checked = self._checked()
        report = checked.report
        sections = pages.of_report(report)
        with self._lock:
            if report.spec is not None:
                self._spec = report.spec
            self._weight_files = frozenset(weight_files_of(self.watched.weights, self._spec))
        self.board.publish(fault="", **sections)
        if report.spec is not None and self._picture is not None:
            self._runner.submit(self._compute)

    def _checked(self) -> Checked:
        checked = check_with_files(self.watched.spec, self.watched.params, self.watched.input_shape)
        self._spec_files = checked.files
        return checked

    def _compute(self) -> None:
        with self._lock:
            spec, picture = self._spec, self._picture
        if spec is None or picture is None:
            return
        self.board.publish(computing=picture.name)
        try:
            found = network.compute(
                spec, picture, self.watched.weights, self.watched.execution, self._runner.checkpoint
            )
        except (CnnspecError, OSError, MemoryError) as error:
            self.board.publish(computing="", **pages.without_picture(picture.name, _message(error)))
            return
        self._publish(found)

    def _publish(self, found: Computed) -> None:
        number = next(self._numbers)
        names = [f"{number}-{i}.png" for i in range(len(found.maps))]
        # The maps before stay until the page has those that follow.
        kept = {name: data for name, data in self.pictures.items() if name.startswith(f"{number - 1}-")}
        self.pictures = kept | dict(zip(names, (one.png for one in found.maps), strict=True))
        self.board.publish(computing="", **pages.of_picture(found, names))

    def _read_run(self) -> None:
        assert self.watched.run is not None
        try:
            found = curves_of(self.watched.run)
        except CnnspecError:  # in the middle of a line
            self._reader.pause(SAVING)
            try:
                found = curves_of(self.watched.run)
            except CnnspecError as error:
                self.board.publish(curves=pages.fault(str(error)))
                return
        self.board.publish(curves=pages.curves(found))

    def _report(self, error: Exception) -> None:
        """Show a fault of this program, which must not go unseen."""
        message = f"internal error, please report it: {type(error).__name__}: {error}"
        self.board.publish(fault=pages.fault(message), computing="")


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)

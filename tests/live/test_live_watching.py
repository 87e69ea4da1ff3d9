"""The watched files: however an editor saves them, the latest state is what is shown in the end."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live import BROKEN, GOOD, PATIENCE

from cnnspec.live.options import Watched
from cnnspec.live.session import Session


class Shown:
    """What the board of a session shows."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.errors: list[str] = []
        """Every diagnostic that was shown, in between, too."""
        self._listening = session.board.listening(self._note)
        self._listening.__enter__()

    def __call__(self, name: str) -> Any:
        return self.session.board.since(0)[1].get(name, "")

    def _note(self) -> None:
        self.errors.append(self("diagnostics"))

    def until(self, fits: Callable[[], object]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not fits():
            assert time.monotonic() < give_up, self.session.board.since(0)
            time.sleep(0.01)

    def has(self, text: str, section: str = "costs") -> None:
        """Wait until a valid network with this text is shown."""
        self.until(lambda: not self("state")["broken"] and text in self(section))

    def is_broken(self, code: str) -> None:
        self.until(lambda: self("state")["broken"] and code in self("diagnostics"))


Watch = Callable[..., Shown]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watches a spec, and waits for its first check."""
    monkeypatch.chdir(tmp_path)
    sessions = []

    def start(spec: str | Path, **options: Any) -> Shown:
        session = Session(Watched(str(spec), **options))
        sessions.append(session)
        shown = Shown(session)
        session.start()
        shown.until(lambda: shown("status"))
        return shown

    yield start
    for session in sessions:
        session.close()


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(GOOD)
    return path


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    """As most editors save: a new file is moved to the name."""
    new = path.with_name(".net.yaml.new")
    new.write_text(text)
    new.replace(path)


def with_backup(path: Path, text: str) -> None:
    """As vim saves: the old file is moved away, and a new one is written."""
    path.rename(path.with_name("net.yaml~"))
    path.write_text(text)
    path.with_name("net.yaml~").unlink()


def through_empty(path: Path, text: str) -> None:
    """A file that is empty for a moment, and grows in parts."""
    with path.open("w") as file:
        file.flush()
        time.sleep(0.05)
        file.write(text)


def gone_for_a_moment(path: Path, text: str) -> None:
    path.unlink()
    time.sleep(0.05)
    path.write_text(text)


@pytest.mark.parametrize("save", [in_place, by_rename, with_backup, through_empty, gone_for_a_moment])
def test_a_save_is_seen_and_nothing_in_between(watch: Watch, spec: Path, save: Callable[[Path, str], None]) -> None:
    shown = watch(spec)
    shown.has("4×6×6")
    for channels in (5, 6, 7):  # the second save, too, once the file is another one
        save(spec, GOOD.replace("channels: 4", f"channels: {channels}"))
        shown.has(f"{channels}×6×6")
    assert [error for error in shown.errors if error] == []


def test_while_it_is_broken_the_last_valid_network_stays(watch: Watch, spec: Path) -> None:
    shown = watch(spec)
    before = shown("diagram"), shown("costs")
    spec.write_text(BROKEN)
    shown.is_broken("kernel-too-large")
    assert "net.yaml:4:" in shown("diagnostics")
    assert (shown("diagram"), shown("costs")) == before
    spec.write_text(GOOD.replace("dense: 3", "dense: 2"))
    shown.has("dense1")
    assert shown("diagnostics") == ""
    assert shown("diagram") != before[0]


def test_a_network_that_is_not_as_expected_is_shown_beside_the_error(watch: Watch, spec: Path) -> None:
    spec.write_text("input: [1, 8, 8]\nlayers: [flatten, dense: 7]\nexpect: {output: [5]}\n", "utf-8")
    shown = watch(spec)
    shown.has("dense1")
    assert "expectation-failed" in shown("diagnostics")


def test_a_file_that_stays_empty_is_an_error(watch: Watch, spec: Path) -> None:
    shown = watch(spec)
    spec.write_text("")
    shown.until(lambda: shown("state")["broken"])
    assert "error[" in shown("diagnostics").replace('<span class="is-error">', "")


def test_a_file_that_is_removed_and_comes_back(watch: Watch, spec: Path) -> None:
    shown = watch(spec)
    spec.unlink()
    shown.is_broken("unreadable-file")
    spec.write_text(GOOD)
    shown.has("4×6×6")


def test_a_folder_that_is_removed_and_comes_back(watch: Watch, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "net.yaml").write_text(GOOD)
    shown = watch(folder / "net.yaml")
    shutil.rmtree(folder)
    shown.is_broken("unreadable-file")
    folder.mkdir()
    (folder / "net.yaml").write_text(GOOD)
    shown.has("4×6×6")
    (folder / "net.yaml").write_text(GOOD.replace("channels: 4", "channels: 5"))
    shown.has("5×6×6")


def test_a_file_that_is_not_there_yet(watch: Watch, tmp_path: Path) -> None:
    shown = watch(tmp_path / "net.yaml")
    shown.is_broken("unreadable-file")
    (tmp_path / "net.yaml").write_text(GOOD)
    shown.has("4×6×6")


def test_what_it_extends_is_watched(watch: Watch, tmp_path: Path) -> None:
    base, middle, spec = tmp_path / "base.yaml", tmp_path / "middle.yaml", tmp_path / "net.yaml"
    base.write_text(GOOD.replace("name: tiny", "name: base\nparams: {c: 4}").replace("channels: 4", "channels: $c"))
    middle.write_text("name: middle\nextends: base.yaml\nparams: {c: 5}\n")
    spec.write_text("name: net\nextends: middle.yaml\n")
    shown = watch(spec)
    shown.has("5×6×6")
    by_rename(middle, "name: middle\nextends: base.yaml\nparams: {c: 6}\n")
    shown.has("6×6×6")
    base.write_text(base.read_text().replace("kernel: 3", "kernel: 5"))
    shown.has("6×4×4")
    base.unlink()
    shown.is_broken("base.yaml")
    base.write_text(GOOD.replace("name: tiny", "params: {c: 4}").replace("channels: 4", "channels: $c"))
    shown.has("6×6×6")
    spec.write_text("name: net\nextends: other.yaml\n")
    shown.is_broken("other.yaml")
    (tmp_path / "other.yaml").write_text(GOOD.replace("channels: 4", "channels: 9"))
    shown.has("9×6×6")


def test_a_file_beside_takes_the_place_of_a_bundled_one(watch: Watch, tmp_path: Path) -> None:
    shown = watch("lenet.yaml")
    shown.has("28×28")
    (tmp_path / "lenet.yaml").write_text(GOOD)
    shown.has("4×6×6")
    (tmp_path / "lenet.yaml").unlink()
    shown.has("6×24×24")


def test_a_link_and_what_it_leads_to(watch: Watch, tmp_path: Path) -> None:
    first, second, link = tmp_path / "a" / "one.yaml", tmp_path / "b" / "two.yaml", tmp_path / "net.yaml"
    for path, channels in ((first, 4), (second, 5)):
        path.parent.mkdir()
        path.write_text(GOOD.replace("channels: 4", f"channels: {channels}"))
    link.symlink_to(first)
    shown = watch(link)
    shown.has("4×6×6")
    first.write_text(GOOD.replace("channels: 4", "channels: 6"))
    shown.has("6×6×6")
    link.unlink()
    link.symlink_to(second)
    shown.has("5×6×6")
    second.write_text(GOOD.replace("channels: 4", "channels: 7"))
    shown.has("7×6×6")


def test_a_change_without_an_event_is_found(watch: Watch, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on network drives: the same size, and a time in the past."""

    def no_events(*folders: Path, stop_event: threading.Event, **options: Any) -> Iterator[set[Any]]:
        while not stop_event.wait(0.02):
            yield set()

    monkeypatch.setattr("watchfiles.watch", no_events)
    shown = watch(spec)
    spec.write_text(GOOD.replace("channels: 4", "channels: 8"))
    os.utime(spec, (0, 0))
    shown.has("8×6×6")


def test_an_event_counts_where_the_file_looks_as_before(
    watch: Watch, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two saves within a tick of the clock; and in the folder of a base, which is watched from the first check on."""
    monkeypatch.setattr("cnnspec.live.watcher._stamp", lambda path: (0, 0, 0, 0))
    base = spec.parent / "bases" / "base.yaml"
    base.parent.mkdir()
    base.write_text(GOOD)
    spec.write_text("name: net\nextends: bases/base.yaml\n")
    shown = watch(spec)
    shown.has("4×6×6")
    time.sleep(1)  # until the folder is watched, about which nothing is said
    base.write_text(GOOD.replace("channels: 4", "channels: 5"))
    shown.has("5×6×6")
    spec.write_text(GOOD.replace("channels: 4", "channels: 6"))
    shown.has("6×6×6")


def test_other_files_of_the_folder_lead_to_no_check(watch: Watch, spec: Path) -> None:
    shown = watch(spec)
    shown.session.board.publish(costs="as it was")
    for i in range(20):
        (spec.parent / f"notes-{i}.txt").write_text("x")
    time.sleep(0.6)
    assert shown("costs") == "as it was"


def test_the_last_of_many_saves_is_shown(watch: Watch, spec: Path) -> None:
    shown = watch(spec)
    for i in range(200):
        spec.write_text(BROKEN if i % 2 else GOOD.replace("channels: 4", f"channels: {i + 1}"))
    spec.write_text(GOOD.replace("channels: 4", "channels: 999"))
    shown.has("999×6×6")
    time.sleep(0.5)  # nothing older comes afterwards
    assert "999×6×6" in shown("costs")
    assert not shown("state")["broken"]


def test_parameters_of_the_command_line(watch: Watch, spec: Path) -> None:
    spec.write_text(GOOD.replace("input:", "params: {c: 4}\ninput:").replace("channels: 4", "channels: $c"))
    watch(spec, params={"c": 7}).has("7×6×6")


def test_text_of_the_spec_is_escaped(watch: Watch, spec: Path) -> None:
    shown = watch(spec)
    spec.write_text(GOOD.replace("relu", "<script>alert(1)</script>").replace("tiny", "<img src=x>"))
    shown.until(lambda: shown("state")["broken"])
    assert "&lt;script&gt;" in shown("diagnostics")
    assert "<script>" not in shown("diagnostics") + shown("status")
    assert "<img" not in shown("status")


def test_a_fault_of_the_program_is_shown_until_it_is_over(
    watch: Watch, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = watch(spec)
    with monkeypatch.context() as patch:
        patch.setattr("cnnspec.live.pages.draw", lambda graph: 1 / 0)
        spec.write_text(GOOD.replace("channels: 4", "channels: 5"))
        shown.until(lambda: "internal error, please report it: ZeroDivisionError" in shown("fault"))
    spec.write_text(GOOD.replace("channels: 4", "channels: 6"))
    shown.has("6×6×6")
    assert shown("fault") == ""

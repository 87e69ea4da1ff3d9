"""The parts that have no file and no server: the worker, the board, the token."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cnnspec.live.board import Board
from cnnspec.live.latest import Latest, Superseded
from cnnspec.live.secret import KEY_FILE, token


class TestLatest:
    def test_of_waiting_jobs_the_last_one_is_done(self) -> None:
        done: list[int] = []
        begun, go, over = threading.Event(), threading.Event(), threading.Event()
        worker = Latest("test", lambda error: None)

        def first() -> None:
            begun.set()
            assert go.wait(10)
            done.append(0)

        worker.submit(first)
        assert begun.wait(10)
        for i in range(1, 100):
            worker.submit(lambda i=i: done.append(i))  # type: ignore[misc]
        worker.submit(lambda: (done.append(100), over.set()))  # type: ignore[arg-type,func-returns-value]
        go.set()
        assert over.wait(10)
        assert done == [0, 100]
        worker.close()

    def test_a_job_can_notice_that_a_newer_one_waits(self) -> None:
        outcomes: list[str] = []
        over = threading.Event()
        worker = Latest("test", lambda error: None)

        def job() -> None:
            worker.submit(over.set)
            try:
                worker.pause(60)
            except Superseded:
                outcomes.append("superseded")
                raise

        worker.submit(job)
        assert over.wait(10)
        assert outcomes == ["superseded"]
        worker.close()

    def test_it_outlives_a_fault(self) -> None:
        errors: list[Exception] = []
        over = threading.Event()
        worker = Latest("test", errors.append)

        def job() -> None:
            worker.submit(over.set)
            raise ValueError("no")

        worker.submit(job)
        assert over.wait(10)
        assert [str(error) for error in errors] == ["no"]
        worker.close()

    def test_its_thread_ends(self) -> None:
        worker = Latest("ends", lambda error: None)
        worker.close()
        worker.join()
        assert "ends" not in {thread.name for thread in threading.enumerate()}


class TestBoard:
    def test_a_reader_gets_what_changed_since_its_version(self) -> None:
        board = Board()
        board.publish(a=1, b=2)
        version, sections = board.since(0)
        assert sections == {"a": 1, "b": 2}
        board.publish(a=1, b=3)
        assert board.since(version)[1] == {"b": 3}

    def test_many_changes_are_one_for_a_slow_reader(self) -> None:
        board = Board()
        for i in range(1000):
            board.publish(a=i)
        assert board.since(0)[1] == {"a": 999}

    def test_what_is_the_same_wakes_nobody(self) -> None:
        board, calls = Board(), []
        with board.listening(lambda: calls.append(1)):
            board.publish(a=1)
            board.publish(a=1)
        board.publish(a=2)
        assert len(calls) == 1
        assert board.listeners == 0


class TestToken:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "cache"))

    def test_it_is_the_same_for_the_same_spec_and_port_alone(self) -> None:
        assert token("a.yaml", 8000) == token("a.yaml", 8000)
        assert len({token("a.yaml", 8000), token("b.yaml", 8000), token("a.yaml", 8001)}) == 3
        assert len(token("a.yaml", 8000)) == 32

    def test_another_user_has_another_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = token("a.yaml", 8000)
        monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "other"))
        assert token("a.yaml", 8000) != before

    @pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
    def test_nobody_else_can_read_the_key(self, tmp_path: Path) -> None:
        before = token("a.yaml", 8000)
        key = tmp_path / "cache" / KEY_FILE
        assert key.stat().st_mode & 0o077 == 0
        key.chmod(0o644)  # who has read it may know the token
        assert token("a.yaml", 8000) != before

    def test_without_a_place_for_the_key_it_is_one_of_this_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "file" / "cache"))
        assert len(token("a.yaml", 8000)) == 32

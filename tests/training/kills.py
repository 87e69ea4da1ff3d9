"""Processes that are killed at random moments, and continued."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def command(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start a command of the project."""
    return subprocess.Popen(
        [sys.executable, "-m", "cnnspec", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trained_with_kills(
    arguments: Sequence[object],
    folder: Path,
    *,
    kills: int,
    resume: Callable[[int], Sequence[object]] = lambda kill: (),
    on_start: Callable[[], None] = lambda: None,
) -> None:
    """Train into a folder, kill the process up to that many times once it has a checkpoint, and continue each time.

    `resume` returns further arguments of the process after a kill, and `on_start` is called when there is a checkpoint.
    """
    process = command("train", *arguments, "--out", folder)
    killed, last = 0, folder / "last.safetensors"
    for _ in range(kills):
        deadline = time.monotonic() + 60
        while not last.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        on_start()
        try:
            process.wait(timeout=random.uniform(0.1, 2.0) if killed else 0.01)
            break
        except subprocess.TimeoutExpired:
            process.kill()
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        killed += process.returncode != 0
        process = command("train", "--resume", folder, *resume(killed))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert killed

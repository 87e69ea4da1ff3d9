"""The machine that this process runs on: its processor, the user's cache folder, and further processes of Python."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

CPU_INFO = Path("/proc/cpuinfo")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def describe_machine() -> dict[str, str]:
    """Return the processor, its widest vector instructions where they are known, the system and Python's version."""
    fields = _cpu_fields()
    flags = fields.get("flags", "").split()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "instructions": vectors,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cache_folder() -> Path:
    """Return the folder of downloads, timings and results of checks: $CNNSPEC_CACHE, or `cnnspec` in the user's cache.

    The user's cache is $XDG_CACHE_HOME where that is set.
    """
    if folder := os.environ.get("CNNSPEC_CACHE"):
        return Path(folder)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "cnnspec"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "cnnspec" / "Cache"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "cnnspec"


def python_process(
    module: str, *arguments: str, threads: int, errors: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a module as a new process, whose input and output are pipes, with so many threads for its libraries.

    Its errors go to a file, or where those of this process go.
    """
    # The modules that this process finds, wherever it is started, and no others.
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    environment = dict(os.environ) | {"PYTHONPATH": path} | dict.fromkeys(THREAD_VARIABLES, str(threads))
    # A process group of its own: the terminal's Ctrl-C reaches the parent alone, which ends the process. Where the
    # parent is killed, the kernel hangs up on stopped groups without a parent, and others find their input closed.
    group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        **group,
    )


def _cpu_fields() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing on other systems."""
    try:
        text = CPU_INFO.read_text("utf-8", "replace")
    except OSError:
        return {}
    lines = text.split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

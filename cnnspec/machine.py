"""The machine that this process runs on: its processor, and the user's cache folder."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


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
    """Return the folder of downloads and timings: `cnnspec` in the user's cache ($XDG_CACHE_HOME where it is set)."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "cnnspec"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "cnnspec" / "Cache"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "cnnspec"


def _cpu_fields() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing on other systems."""
    try:
        text = CPU_INFO.read_text("utf-8", "replace")
    except OSError:
        return {}
    lines = text.split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

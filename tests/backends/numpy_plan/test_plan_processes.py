"""Processes that choose methods by timed runs at the same time, and share the file of times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from conftest import ROOT

PREDICT = """
import sys, numpy, cnnspec
x = numpy.random.default_rng(0).standard_normal((3, 1, 28, 28))
model = cnnspec.build("lenet", dtype="float64", autotune=True, threads=1)
for n in (1, 2, 3):
    y = model.predict(x[:n])
numpy.save(sys.argv[1], y)
"""


def test_processes_that_measure_at_the_same_time(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": path}
    files = [tmp_path / f"{i}.npy" for i in range(3)]
    running = [
        subprocess.Popen([sys.executable, "-c", PREDICT, str(file)], env=environment, stderr=subprocess.PIPE)
        for file in files
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 3, errors
    first, *others = (np.load(file) for file in files)
    for y in others:
        np.testing.assert_allclose(y, first, rtol=1e-11, atol=1e-13)
    # One whole file, of one machine, and nothing half written beside it.
    (file,) = (tmp_path / "cache" / "cnnspec").iterdir()
    ((_, times),) = json.loads(file.read_bytes()).items()
    assert all(any(f"; {n} samples;" in key for key in times) for n in (1, 2, 3))

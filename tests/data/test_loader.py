"""Batches loaded ahead: the same for any number of workers, errors that name the file, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from file_samples import cut, network, picture, pixels

from cnnspec.data import DataError, Loader, augmentation_of, open_dataset

SPEC = "flatten, dense: 2", (3, 6, 6), "augment: [shift: 1, flip, noise: 5]"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(20):
        picture(f"pets/{'cat' if i % 2 else 'dog'}/{i}.png", pixels(6, 6, 3, seed=i))


def loaded(workers, split, parts, augmentation=None):
    with Loader(workers) as loader:
        return list(loader.batches(split, parts, augmentation))


PARTS = [np.array(some) for some in ([3, 1, 4], [15, 9, 2], [6], [5, 8], [])]


def test_any_number_of_workers_gives_the_same_batches():
    spec = network(*SPEC)
    split = open_dataset("pets", spec).train
    augmentation = augmentation_of(spec.train, spec.graph, spec.input).at(3)
    wanted = [split.load(part, augmentation) for part in PARTS]
    for workers in (0, 1, 3):
        found = loaded(workers, split, PARTS, augmentation)
        assert len(found) == len(PARTS)
        for (x, target), (right_x, right_target) in zip(found, wanted, strict=True):
            assert np.array_equal(x, right_x)
            assert np.array_equal(target, right_target)


def test_the_processes_are_used_again_and_end_with_the_loader():
    split = open_dataset("pets", network(*SPEC)).train
    with Loader(2) as loader:
        list(loader.batches(split, PARTS))
        processes = loader._pool._processes
        list(loader.batches(split, PARTS[:1]))
        assert loader._pool._processes is processes
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)


def test_what_is_left_over_does_not_reach_the_next_one():
    split = open_dataset("pets", network(*SPEC)).train
    with Loader(2) as loader:
        first = loader.batches(split, PARTS)
        next(first)
        first.close()
        ((x, _),) = loader.batches(split, PARTS[:1])
        assert np.array_equal(x, split.load(PARTS[0])[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_named(workers):
    split = open_dataset("pets", network(*SPEC)).train
    cut(split.pictures.paths[9])
    with Loader(workers) as loader:
        batches = loader.batches(split, PARTS)
        next(batches)
        with pytest.raises(DataError, match=r"`pets/cat/\d+\.png` is not a complete image"):
            next(batches)
        assert next(loader.batches(split, PARTS[:1]))[0].shape == (3, 3, 6, 6)


def test_a_worker_that_is_killed_is_an_error():
    split = open_dataset("pets", network(*SPEC)).train
    with Loader(1) as loader:
        list(loader.batches(split, PARTS))
        loader._pool._processes[0].kill()
        with pytest.raises(DataError, match="ended by SIGKILL, as the system does where memory runs out"):
            list(loader.batches(split, PARTS))
        assert len(list(loader.batches(split, PARTS))) == len(PARTS)


def test_arrays_need_no_workers():
    np.savez("data.npz", x=pixels(4, 3, 6, 6), y=np.array([0, 1, 1, 0]))
    with Loader(2) as loader:
        list(loader.batches(open_dataset("data.npz", network(*SPEC)).train, [np.array([1])]))
        assert loader._pool is None


# Processes that end

SCRIPT = """
import sys, time, numpy as np
from cnnspec.data import Loader, open_dataset
import cnnspec
spec = cnnspec.loads("{input: [3, 6, 6], layers: [flatten, dense: 2]}")
with Loader(2) as loader:
    batches = loader.batches(open_dataset("pets", spec).train, [np.arange(20)] * 1000)
    next(batches)
    print(*[process.pid for process in loader._pool._processes], flush=True)
    time.sleep(60)
"""


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(number):
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    os.kill(parent.pid, number)
    parent.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))

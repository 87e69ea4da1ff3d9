"""Logs, callbacks and repeated runs; disks that are full, and runs that are resumed on something else."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from conftest import Cnnspec

import cnnspec as api
from cnnspec.errors import TrainingError
from cnnspec.training import events
from cnnspec.training.recorded import LAST

SPEC = """
name: net
input: [4]
layers: [dense: 8, tanh, dense: 3]
train: {data: data.npz, batch: 10, epochs: 3, validation: 0.2, optimizer: {adam: 0.01}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("data.npz", x=rng.normal(size=(50, 4)).astype(np.float32), y=rng.integers(0, 3, 50))
    Path("net.yaml").write_text(SPEC)
    return tmp_path


def records(run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def scalars(run: str) -> dict[str, list[tuple[int, float]]]:
    """Read event files by the format of TensorBoard: records of protocol buffers."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(Path(run, "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + size])
            at += 12 + size + 4
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_logs_hold_the_numbers_of_the_records(cnnspec: Cnnspec) -> None:
    result = cnnspec("train", "net.yaml", "--out", "run", "--log", "csv", "--log", "tensorboard")
    assert result.exit_code == 0, result.stderr
    with Path("run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = scalars("run")
    assert len(rows) == len(records("run")) == 3
    for i, record in enumerate(records("run")):
        for key in ("epoch", "loss", "validation_loss", "validation_macro_f1", "learning_rate"):
            assert float(rows[i][key]) == record[key]
        assert found["validation/loss"][i] == (record["step"], pytest.approx(record["validation_loss"], rel=1e-6))
        assert found["train/loss"][i] == (record["step"], pytest.approx(record["loss"], rel=1e-6))


def test_a_resumed_run_goes_on_with_its_logs(cnnspec: Cnnspec) -> None:
    cnnspec("train", "net.yaml", "--out", "run", "--epochs", "2", "--log", "csv", "--log", "tensorboard")
    assert cnnspec("train", "--resume", "run", "--epochs", "4").exit_code == 0
    with Path("run/metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    assert [step for step, _ in scalars("run")["train/loss"]] == [4, 8, 12, 16]


def test_unknown_logs(cnnspec: Cnnspec) -> None:
    result = cnnspec("train", "net.yaml", "--out", "run", "--log", "tensorbord")
    assert result.exit_code == 1
    assert "there is no log `tensorbord`: did you mean `tensorboard`?" in result.stderr
    assert not Path("run").exists()


def test_callbacks_get_typed_events() -> None:
    found: list[events.Event] = []
    api.train("net.yaml", folder="run", callbacks=[found.append])
    kinds = [type(event).__name__ for event in found]
    assert kinds[:2] == ["RunStarted", "CheckpointWritten"]
    assert kinds[-1] == "RunFinished"
    assert kinds.count("StepFinished") == 3 * 4
    started = found[0]
    assert isinstance(started, events.RunStarted)
    assert (started.name, started.epoch, started.steps, started.samples) == ("net", 0, 4, 40)
    ended = [event for event in found if isinstance(event, events.EpochFinished)]
    assert [event.record for event in ended] == records("run")
    assert ended[0].best


def test_repeated_runs(cnnspec: Cnnspec) -> None:
    arguments = ["train", "net.yaml", "--seed", "5", "--out", "all", "--format", "json"]
    result = cnnspec(*arguments, "--runs", "3")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("all").iterdir()) == ["seed-5", "seed-6", "seed-7"]
    best = [max(records(f"all/seed-{seed}"), key=lambda r: r["validation_accuracy"]) for seed in (5, 6, 7)]
    spread = json.loads(result.stdout.splitlines()[-1])["runs"]
    for name in ("validation_accuracy", "validation_loss", "loss"):
        values = [record[name] for record in best]
        assert spread[name]["runs"] == pytest.approx(values)
        assert spread[name]["mean"] == pytest.approx(mean(values))
        assert spread[name]["deviation"] == pytest.approx(stdev(values))
    alone = cnnspec("train", "net.yaml", "--seed", "6", "--out", "alone")
    assert alone.exit_code == 0
    assert [r["loss"] for r in records("alone")] == [r["loss"] for r in records("all/seed-6")]


def test_repeated_runs_go_on_where_they_ended(cnnspec: Cnnspec) -> None:
    cnnspec("train", "net.yaml", "--out", "all", "--runs", "2")
    before = Path("all/seed-0/metrics.jsonl").read_bytes()
    result = cnnspec("train", "net.yaml", "--out", "all", "--runs", "3")
    assert "3 runs in all" in result.stdout
    assert Path("all/seed-0/metrics.jsonl").read_bytes() == before
    Path("all/notes.txt").write_text("")
    assert "holds notes.txt" in cnnspec("train", "net.yaml", "--out", "all", "--runs", "3").stderr


def test_a_full_disk_keeps_the_last_checkpoint_whole(folder: Path) -> None:
    """A limit on the size of files stands for the disk: no larger one can be written."""
    api.train("net.yaml", folder="run", epochs=1)
    before = Path("run", LAST).read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))

    command = [sys.executable, "-m", "cnnspec", "train", "--resume", "run", "--epochs", "3"]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert result.returncode == 1
    assert "cannot be written: File too large; the checkpoint before is whole" in result.stderr
    assert "--resume run" in result.stderr
    assert "Traceback" not in result.stderr
    assert Path("run", LAST).read_bytes() == before
    assert not [path for path in Path("run").iterdir() if path.name.endswith(".tmp")]


def test_other_data_is_not_resumed_on(cnnspec: Cnnspec) -> None:
    cnnspec("train", "net.yaml", "--out", "run", "--epochs", "1")
    np.savez("data.npz", x=np.zeros((60, 4), np.float32), y=np.zeros(60, int))
    result = cnnspec("train", "--resume", "run", "--epochs", "2")
    assert result.exit_code == 1
    assert "was trained on 40 samples, and is to be resumed on 48" in result.stderr


def test_other_labels_are_not_resumed_on(cnnspec: Cnnspec) -> None:
    cnnspec("train", "net.yaml", "--out", "run", "--epochs", "1")
    data = dict(np.load("data.npz"))
    np.savez("data.npz", x=data["x"], y=2 - data["y"])
    assert "labels with the checksum" in cnnspec("train", "--resume", "run", "--epochs", "2").stderr


def test_another_network_is_not_resumed(cnnspec: Cnnspec) -> None:
    cnnspec("train", "net.yaml", "--out", "run", "--epochs", "1")
    path = Path("run/spec.yaml")
    path.write_text(path.read_text().replace("dense: {units: 8", "dense: {units: 9").replace("expect:", "# expect:"))
    result = cnnspec("train", "--resume", "run", "--epochs", "2")
    assert result.exit_code == 1
    assert "run/spec.yaml has changed since the run began" in result.stderr
    assert "units: 8" in result.stderr
    assert "units: 9" in result.stderr


def test_no_log_without_a_folder() -> None:
    with pytest.raises(TrainingError, match="there is no log `xml`"):
        api.train("net.yaml", logs=["xml"])


def test_settings_without_an_option_of_their_own(cnnspec: Cnnspec) -> None:
    arguments = ["train", "net.yaml", "--out", "run", "--epochs", "1", "--setting", "clip={value: 0.5}"]
    assert cnnspec(*arguments, "--setting", "ema=0.9").exit_code == 0
    train = api.load("run/spec.yaml").train
    assert train is not None
    assert (train.clip.value, train.ema) == (0.5, 0.9)
    twice = cnnspec("train", "net.yaml", "--epochs", "1", "--setting", "epochs=2")
    assert "the setting `epochs` is given twice" in twice.stderr
    unknown = cnnspec("train", "net.yaml", "--setting", "emma=1")
    assert "did you mean `ema`?" in unknown.stderr

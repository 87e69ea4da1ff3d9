"""Kill -9 at random moments: every way to train goes on from its last checkpoint, to the same weights."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kills import command, trained_with_kills
from PIL import Image

from cnnspec.weights import files

KILLS = 4
IMAGES = """
input: {shape: [1, 8, 8], scale: 0.0625}
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - flatten
  - dropout: 0.2
  - dense: 4
"""
MASKS = """
input: [1, 8, 8]
layers:
  - conv: {channels: 4, kernel: 3, padding: same, norm: batch_norm, activation: relu}
  - conv: {channels: 3, kernel: 1}
"""

WAYS: dict[str, tuple[str, str, list[str]]] = {
    "recipe": (
        IMAGES,
        "{data: data.npz, optimizer: {lamb: {weight_decay: 0.1, decays: weights}}, schedule: {one_cycle: 0.3}, "
        "clip: 1, batch: 8, accumulate: 3, ema: 0.9, mixup: 0.3, cutmix: 1, "
        "loss: {cross_entropy: {label_smoothing: 0.1, "
        "class_weights: [1, 2, 1, 1]}}, augment: [rotate: 20, erase: 0.5, one_of: [blur, noise: 5]]}",
        [],
    ),
    "plateau": (
        IMAGES,
        "{data: data.npz, optimizer: {rmsprop: {momentum: 0.5}}, schedule: {plateau: 1}, monitor: validation_macro_f1, "
        "validation: 0.2, early_stopping: 30}",
        ["--backend", "torch"],
    ),
    "labels": (IMAGES, "{data: labels.npz, loss: {binary_cross_entropy: 2}, optimizer: {lion: 0.001}}", []),
    "masks": (
        MASKS,
        "{data: masks, loss: {dice: {ignore: 255}}, optimizer: {adamw: 0.01}, ema: 0.9, validation: 0.2, batch: 4, "
        "augment: [flip: both, shift: 2]}",
        ["--backend", "torch", "--workers", "1"],
    ),
    "float16": (IMAGES, "{data: data.npz, optimizer: {adam: 0.01}, clip: {value: 0.1}}",
                ["--backend", "torch", "--dtype", "float16"]),
    "recompute": (
        "input: [1, 8, 8]\nblocks: {unit: {layers: [conv: {channels: 4, kernel: 3, norm: batch_norm}, dropout: 0.3]}}\n"
        "layers: [unit: {name: one}, flatten, dense: 4]\n",
        "{data: data.npz, accumulate: 2, batch: 16}",
        ["--backend", "torch", "--option", "recompute=one"],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (120, 1, 8, 8), np.uint8)
    np.savez("data.npz", x=x, y=rng.integers(0, 4, 120))
    np.savez("labels.npz", x=x, y=rng.integers(0, 2, (120, 4)))
    for kind in ("images", "masks"):
        Path("masks", kind).mkdir(parents=True)
    for i in range(20):
        Image.fromarray(x[i, 0]).save(f"masks/images/{i}.png")
        mask = (x[i, 0] // 100).astype(np.uint8)
        mask[0] = 255
        Image.fromarray(mask).save(f"masks/masks/{i}.png")


def outcome(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return all arrays of the last checkpoint, and the records of the epochs without their times."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        del record["seconds"], record["samples_per_second"], record["data_wait"]
    return files.read(folder / "last.safetensors", private=True), records


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_run_ends_where_an_undisturbed_one_does(way: str) -> None:
    network, train, options = WAYS[way]
    random.seed(way)
    Path("net.yaml").write_text(f"name: net\n{network}train: {train}\n")
    arguments = ["net.yaml", "--epochs", "25", *options]
    whole = command("train", *arguments, "--out", "whole")
    _, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    workers = "--workers" in options
    trained_with_kills(
        arguments, Path("killed"), kills=KILLS, resume=lambda kill: ["--workers", "0"] if workers and kill % 2 else []
    )
    (expected, epochs), (found, resumed) = outcome(Path("whole")), outcome(Path("killed"))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.array_equal(found[name], array), name
    assert resumed == epochs

"""A written loss that the output cannot have: a warning of the check, and an error where it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Cnnspec

MAP = (
    "input: [3, 6, 6]\nlayers: [conv: {channels: 1, kernel: 1}]\ntrain: {data: d.npz, loss: cross_entropy, epochs: 1}\n"
)
WORDS = "cross-entropy needs a score for each class; the output is 1×6×6"


@pytest.fixture
def name(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(8, 3, 6, 6)), y=rng.normal(size=(8, 1, 6, 6)))
    (tmp_path / "map.yaml").write_text(MAP)
    return "map.yaml"


def test_the_network_can_be_used_otherwise(cnnspec: Cnnspec, name: str) -> None:
    checked = cnnspec("check", name)
    assert checked.exit_code == 0
    assert f"warning[loss-mismatch]: {WORDS}" in checked.stdout
    assert cnnspec("run", name).exit_code == 0
    assert cnnspec("export", name, "-o", "net.py").exit_code == 0


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_its_use_is_an_error_in_the_same_words(cnnspec: Cnnspec, name: str, command: str) -> None:
    result = cnnspec(command, name)
    assert result.exit_code == 1
    assert f"error: {WORDS}: end it with a `dense`" in result.stderr


def test_a_flag_overrides_it(cnnspec: Cnnspec, name: str) -> None:
    result = cnnspec("train", name, "--loss", "mean_squared_error", "--out", "out")
    assert result.exit_code == 0
    assert "loss-mismatch" not in result.stderr
    assert "loss-mismatch" not in cnnspec("check", "out/spec.yaml").stdout

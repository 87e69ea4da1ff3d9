"""Pictures in the terminal: `cnnspec run --show`, and the curves at the end of a training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Cnnspec


def captions(text: str) -> list[str]:
    return re.findall(r"^([\w.]+)  \d+(?:×\d+)*, ", text, re.M)


class TestLayers:
    def test_the_last_layer_of_each_size(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("run", "lenet", "--weights", "lenet", "boot.png", "--show", env={"COLUMNS": "100"}).stdout
        assert captions(text) == ["input", "sigmoid1", "max_pool1", "sigmoid2", "max_pool2"]

    def test_at_most_five_of_a_deep_network(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("run", "resnet20", "--show", env={"COLUMNS": "120"}).stdout
        assert len(captions(text)) <= 6

    def test_vectors_where_there_are_no_maps(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        (tmp_path / "net.yaml").write_text("input: [6]\nlayers: [dense: 4, relu, dense: 2]\n")
        assert captions(cnnspec("run", "net.yaml", "--show").stdout) == ["input", "relu1", "dense2"]

    def test_chosen_ones(self, cnnspec: Cnnspec) -> None:
        text = cnnspec(
            "run", "lenet", "--layers", "conv*,dense1", "--layers", "flatten1", env={"COLUMNS": "120"}
        ).stdout
        assert captions(text) == ["input", "conv1", "conv2", "flatten1", "dense1"]

    def test_an_unknown_one(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("run", "lenet", "--layers", "conv9")
        assert result.exit_code == 2
        assert "no layer matches `conv9`: did you mean `conv2` or `conv1`?" in re.sub(r"\s+", " ", result.stderr)

    @pytest.mark.parametrize("other", ["--plan", "--format=json"])
    def test_what_excludes_it(self, cnnspec: Cnnspec, other: str) -> None:
        result = cnnspec("run", "lenet", "--show", other)
        assert result.exit_code == 2
        assert "--show draws for people" in result.stderr


class TestPictures:
    def test_the_limit_is_stated(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("run", "lenet", "--show", "--layers", "conv2", "--maps", "3", env={"COLUMNS": "100"}).stdout
        assert re.search(r"^conv2  16×8×8, from \S+ to \S+, 3 of 16 maps$", text, re.M)
        assert re.search(r"^0 +1 +2$", text, re.M)

    def test_all_maps(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("run", "lenet", "--layers", "conv2", "--maps", "99", env={"COLUMNS": "100"}).stdout
        assert " of 16 maps" not in text
        assert re.search(r"^8 .* 15$", text, re.M)

    def test_the_image_is_drawn_as_it_was_read(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        """Also where the network reads it with another mean and deviation."""
        (tmp_path / "net.yaml").write_text(
            "input: {shape: [1, 16, 16], mean: 0.5, std: 0.25}\nlayers: [conv: {channels: 1, kernel: 3}]\n"
        )
        from PIL import Image

        pixels = np.zeros((16, 16), np.uint8)
        pixels[:8] = 255
        Image.fromarray(pixels).save(tmp_path / "half.png")
        lines = cnnspec("run", "net.yaml", "half.png", "--show").stdout.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("input  1×16×16, the image"))
        assert [line.rstrip() for line in lines[at + 1 : at + 9]] == ["█" * 16] * 4 + [""] * 4

    def test_a_slice_of_a_volume(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        (tmp_path / "net.yaml").write_text(
            "input: {channels: 1, depth: 5, height: 12, width: 12}\nlayers: [conv: {channels: 2, kernel: 1}]\n"
        )
        text = cnnspec("run", "net.yaml", "--show").stdout
        assert re.search(r"^conv1  2×5×12×12, .*, slice 3 of 5$", text, re.M)

    def test_a_line_for_each_signal(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        (tmp_path / "net.yaml").write_text(
            "input: {channels: 1, length: 8}\nlayers: [conv: {channels: 1, kernel: 1, weight: 1, bias: 0}]\n"
        )
        np.save(tmp_path / "ramp.npy", np.arange(8, dtype=np.float32).reshape(1, 1, 8))
        text = cnnspec("run", "net.yaml", "ramp.npy", "--show").stdout
        assert re.search(r"^conv1  1×8, from 0 to 7\n0 ▁▂▃▄▅▆▇█$", text, re.M)

    def test_several_samples(self, cnnspec: Cnnspec) -> None:
        files = ["boot.png", "bag.png", "trouser.png", "boot.png"]
        text = cnnspec("run", "lenet", "--weights", "lenet", *files, "--layers", "dense3").stdout
        assert captions(text) == ["input", "dense3"] * 3
        assert "the first 3 of 4 samples are drawn" in text
        assert text.count("ankle boot") >= 2

    def test_classes_have_bars(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("run", "lenet", "--weights", "lenet", "boot.png", "--show", "--top", "2").stdout
        assert re.search(r"^  ankle boot  █{30,}.? +99\.6 %\n  sneaker     ▏ +0\.4 %$", text, re.M)


class TestCurves:
    def train(self, cnnspec: Cnnspec, tmp_path: Path, epochs: int) -> str:
        (tmp_path / "net.yaml").write_text("input: [4]\nlayers: [dense: 3]\n")
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "data.npz", x=rng.normal(size=(96, 4)).astype(np.float32), y=np.arange(96) % 3)
        args = ("--data", "data.npz", "--batch", "16", "--epochs", str(epochs), "--out", f"run{epochs}")
        result = cnnspec("train", "net.yaml", *args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def test_a_bar_for_each_epoch(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        text = self.train(cnnspec, tmp_path, 4)
        assert re.search(r"^loss +[▁-█]{4}  \d\.\d+ → \d\.\d+$", text, re.M)
        assert re.search(r"^accuracy +[▁-█]{4}  [\d.]+ % → [\d.]+ %$", text, re.M)

    def test_the_steps_of_one_epoch(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        assert re.search(r"^loss of the steps  [▁-█]{6}  ", self.train(cnnspec, tmp_path, 1), re.M)

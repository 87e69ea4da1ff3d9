"""A picture on the network: what becomes of it, which weights compute, the maps of each layer and the classes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live import GOOD

import cnnspec
from cnnspec import bundled
from cnnspec.errors import CnnspecError, InputError
from cnnspec.live.feature_maps import feature_map
from cnnspec.live.latest import Superseded
from cnnspec.live.network import Computed, compute, decoded
from cnnspec.runtime.options import Execution
from cnnspec.weights.files import write

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")


def png(*shape: int, seed: int = 0) -> bytes:
    """A PNG file of random pixels, [h, w] or [h, w, c]."""
    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(held, "PNG")
    return held.getvalue()


def computed(text: str, data: bytes, weights: str | None = None) -> Computed:
    return compute(cnnspec.loads(text), decoded(data, "a.png"), weights, Execution(), lambda: None)


def pixels(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


class TestPicture:
    def test_the_network_sees_its_pixels(self) -> None:
        data = png(8, 8)
        found = computed(GOOD, data)
        assert found.picture == "a.png"
        assert found.fitted == "8×8 pixels"
        assert [(m.name, m.kind, m.shape) for m in found.maps] == [
            ("input", "input", "1×8×8"),
            ("conv1", "conv", "4×6×6"),
            ("relu1", "relu", "4×6×6"),
            ("flatten1", "flatten", "144"),
            ("dense1", "dense", "3"),
        ]
        ((_, how, top),) = found.outputs
        assert how == "softmax of the outputs"
        assert sum(p for _, p in top) == pytest.approx(1)
        assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)

    def test_the_probabilities_are_those_of_run(self, cnnspec: Any, tmp_path: Path) -> None:
        boot = bundled.find("boot.png", ".png")
        assert boot is not None
        found = compute(_load("lenet"), decoded(boot.read_bytes(), "boot.png"), "lenet", Execution(), lambda: None)
        top = found.outputs[0].top
        assert top[0][0] == "ankle boot"
        assert (
            f"ankle boot ({top[0][1]:.1%})".replace("%", " %")
            in cnnspec("run", "lenet", "boot.png", "--weights", "lenet").output
        )

    @pytest.mark.parametrize(
        ("shape", "fitted"),
        [
            ((20, 30), "30×20 pixels, stretched to 8×8"),
            ((8, 8, 3), "8×8 pixels, colours turned to grey"),
            ((9, 8, 4), "8×9 pixels, stretched to 8×8, transparency blended with white, colours turned to grey"),
        ],
    )
    def test_it_is_fitted_and_that_is_said(self, shape: tuple[int, ...], fitted: str) -> None:
        assert computed(GOOD, png(*shape)).fitted == fitted

    def test_grey_for_a_network_of_colours(self) -> None:
        assert computed(GOOD.replace("[1,", "[3,"), png(8, 8)).fitted == "8×8 pixels, grey repeated for each colour"

    def test_networks_that_take_no_picture(self) -> None:
        with pytest.raises(InputError, match="takes 5, and no picture"):
            computed("input: [5]\nlayers: [dense: 2]\n", png(8, 8))
        with pytest.raises(InputError, match="inputs `a` and `b`"):
            computed("inputs: {a: [1, 8, 8], b: [1, 8, 8]}\nlayers: [add: {x: [from: a], y: [from: b]}]\n", png(8, 8))

    def test_it_is_given_up_for_a_newer_one(self) -> None:
        seen = 0

        def checkpoint() -> None:
            nonlocal seen
            seen += 1
            if seen == 3:
                raise Superseded

        with pytest.raises(Superseded):
            compute(_loads(GOOD), decoded(png(8, 8), ""), None, Execution(), checkpoint)
        assert seen == 3

    def test_labels_and_maps_of_classes(self) -> None:
        train = "train: {loss: binary_cross_entropy}\nclasses: [a, b, c]\n"
        ((_, how, top),) = computed(GOOD + train, png(8, 8)).outputs
        assert how == "probability of each label"
        assert {name for name, _ in top} == {"a", "b", "c"}
        assert computed("input: [1, 8, 8]\nlayers: [conv: {channels: 2, kernel: 3}]\n", png(8, 8)).outputs == ()


class TestWeights:
    def test_initial_ones(self) -> None:
        assert computed(GOOD, png(8, 8)).weights == "initial weights, drawn at random from seed 0: not trained"

    def test_given_ones(self, tmp_path: Path) -> None:
        file = saved(tmp_path)
        found = computed(GOOD, png(8, 8), str(file))
        assert found.weights == f"weights {file}"
        assert found.outputs[0].top == computed(GOOD, png(8, 8), str(saved(tmp_path, "again"))).outputs[0].top
        assert found.outputs[0].top != computed(GOOD, png(8, 8)).outputs[0].top

    def test_those_that_the_spec_starts_from(self, tmp_path: Path) -> None:
        file = saved(tmp_path)
        train = f"train: {{start: '{file}', replace: dense1}}\n"
        found = computed(GOOD + train, png(8, 8))
        assert found.weights == f"weights {file}, the `start` of the spec's training; dense1 at random from seed 0"

    def test_those_that_do_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(CnnspecError, match=r"dense1\.weight"):
            computed(GOOD.replace("dense: 3", "dense: 4"), png(8, 8), str(saved(tmp_path)))

    def test_numbers_that_are_not_finite_are_said(self, tmp_path: Path) -> None:
        huge = {name: np.full_like(array, 1e37) for name, array in _build(GOOD).state().items()}
        write(tmp_path / "huge.safetensors", huge)
        found = computed(GOOD, png(8, 8), str(tmp_path / "huge.safetensors"))
        assert found.remarks == ("`dense1` has numbers that are NaN or infinite",)
        assert found.outputs == ()


class TestDecoding:
    @pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(100), b"<svg/>", png(8, 8)[:40]])
    def test_other_files_are_refused(self, data: bytes) -> None:
        with pytest.raises(InputError):
            decoded(data, "a.png")

    def test_a_small_file_of_a_huge_picture_is_refused_from_its_header(self) -> None:
        with pytest.raises(InputError, match="at most 16,777,216"):
            decoded(bomb(5000, 5000), "a.png")
        with pytest.raises(InputError, match=r"30,000 × 30,000|too many pixels"):
            decoded(bomb(30000, 30000), "a.png")


class TestFeatureMaps:
    def test_channels_stand_side_by_side(self) -> None:
        node = _loads("input: [3, 2, 2]\nlayers: [relu]\n").graph.input
        value = np.zeros((3, 2, 2))
        value[1] = 1
        found = feature_map(node, value)
        shown = pixels(found.png)
        assert (found.width, found.height) == (8, 2)
        assert shown.tolist() == [[0, 0, 255, 254, 254, 255, 0, 0]] * 2
        assert found.about == "all channels, from 0 to 1"

    @pytest.mark.parametrize(
        ("shape", "size", "about"),
        [
            ((20, 4, 4), (39, 9), "the first 16 of 20 channels, from "),
            ((1, 200, 130), (44, 50), "all channels, from "),
            ((10,), (10, 1), "all numbers, from "),
            ((100,), (64, 2), "all numbers, from "),
            ((5000,), (64, 16), "the first 1,024 of 5,000 numbers, from "),
            ((6, 90), (45, 6), "6 channels, a row each, from "),
            ((2, 5, 4, 4), (9, 4), "all channels, the middle plane, from "),
        ],
    )
    def test_any_shape(self, shape: tuple[int, ...], size: tuple[int, int], about: str) -> None:
        node = _loads("input: [3]\nlayers: [relu]\n").graph.input
        found = feature_map(node, np.random.default_rng(0).standard_normal(shape))
        assert (found.width, found.height) == size == Image.open(io.BytesIO(found.png)).size
        assert found.about.startswith(about)
        assert "\N{MINUS SIGN}" in found.about

    def test_one_number_everywhere_and_numbers_that_are_none(self) -> None:
        node = _loads("input: [3]\nlayers: [relu]\n").graph.input
        assert feature_map(node, np.full((1, 2, 2), 0.5)).about == "all channels, all 0.5"
        assert feature_map(node, np.array([np.nan, np.inf, 1.0])).about == "all numbers, from 0 to 1"


def saved(folder: Path, name: str = "weights") -> Path:
    """Weights that are not the initial ones."""
    file = folder / f"{name}.safetensors"
    write(file, {key: array + 0.1 * (array.ndim > 1) for key, array in _build(GOOD, seed=1).state().items()})
    return file


def bomb(width: int, height: int) -> bytes:
    """A PNG file of a few kilobytes that says it has that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


# A fixture of some tests has the name of the package.
_load, _loads = cnnspec.load, cnnspec.loads


def _build(text: str, seed: int = 0) -> Any:
    return cnnspec.build(cnnspec.loads(text), seed=seed)

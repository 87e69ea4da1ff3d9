"""Pictures in a terminal, as what it can show allows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from cnnspec.graph.settings import Input
from cnnspec.view import pixels
from cnnspec.view.pictures import Pixels, input_picture, layer_picture


def shown(renderable: object, colours: str | None, encoding: str = "utf-8", width: int = 60) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="")
    console = Console(file=file, width=width, color_system=colours, force_terminal=colours is not None)  # type: ignore[arg-type]
    console.print(renderable)
    file.flush()
    file.buffer.seek(0)
    return file.buffer.read().decode(encoding)


STEP = pixels.coloured(np.array([[0.0, 1.0], [0.0, 1.0]]), 0, 1)


class TestModes:
    def test_two_pixels_a_cell_in_24_bits(self) -> None:
        text = shown(Pixels(STEP), "truecolor")
        assert text.count("▀") == 2
        assert "38;2;68;1;84" in text
        assert "48;2;253;231;37" in text

    def test_greys_for_values_in_256_colours(self) -> None:
        text = shown(Pixels(STEP, is_map=True), "256")
        assert "38;5;16" in text
        assert "38;5;231" in text

    def test_shades_without_colours(self) -> None:
        assert shown(Pixels(STEP), None) == " █\n"
        assert "38;" not in shown(Pixels(STEP), "standard")

    def test_ascii_where_there_are_no_blocks(self) -> None:
        assert shown(Pixels(STEP), None, "ascii") == " @\n"
        assert "▀" not in shown(Pixels(STEP), "truecolor", "latin-1")

    def test_an_odd_row_is_half_a_cell(self) -> None:
        odd = pixels.coloured(np.ones((3, 2)), 0, 1)
        assert shown(Pixels(odd), None).splitlines() == ["██", "██"]
        assert shown(Pixels(odd), "truecolor").count("▀") == 4


class TestSizes:
    @pytest.mark.parametrize("width", [20, 60, 80, 120])
    @pytest.mark.parametrize("shape", [(3, 1, 1), (8, 4, 4), (20, 7, 9), (9, 112, 112), (2, 5, 300), (2, 6, 30, 30)])
    def test_they_fit(self, shape: tuple[int, ...], width: int) -> None:
        values = np.random.default_rng(0).normal(size=shape)
        lines = shown(layer_picture("layer", values, width), None, width=width).splitlines()
        assert max(map(len, lines)) <= width

    def test_small_maps_are_enlarged_and_large_ones_reduced(self) -> None:
        assert pixels.fitted(np.eye(4), 12, 24).shape == (12, 12)
        assert pixels.fitted(np.ones((112, 56)), 12, 24).shape == (23, 12)

    def test_reduced_pixels_are_means(self) -> None:
        assert pixels.fitted(np.arange(16.0).reshape(4, 4), 1, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
        assert pixels.fitted(np.array([[1.0, 3, 8]]), 1, 2).tolist() == [[2, 8]]


class TestInput:
    def test_preprocessing_is_undone(self) -> None:
        settings = Input(shape=(3, 2, 2), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
        image = np.random.default_rng(0).integers(0, 256, (2, 2, 3))
        x = np.moveaxis((image / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4], -1, 0)
        found = pixels.restored(x, settings)
        assert found is not None
        assert np.allclose(found * 255, image)

    @pytest.mark.parametrize("shape", [(2, 4, 4), (4,), (1, 9), (1, 4, 4, 4)])
    def test_other_inputs_are_shown_as_layers_are(self, shape: tuple[int, ...]) -> None:
        settings = Input(shape=shape)
        assert pixels.restored(np.zeros(shape), settings) is None
        assert "from 0 to 0" in shown(input_picture("input", np.zeros(shape), settings, 60), None)

    def test_numbers_that_no_pixel_becomes(self) -> None:
        assert pixels.restored(np.full((1, 2, 2), 5.0), Input(shape=(1, 2, 2))) is None


def test_all_maps_of_a_layer_have_one_scale() -> None:
    values = np.stack([np.full((12, 12), 0.0), np.full((12, 12), 8.0), np.full((12, 12), 4.0)])
    row = shown(layer_picture("conv1", values, 60), None).splitlines()[2]
    assert row.rstrip() == f"{' ' * 12}  {'█' * 12}  {'▒' * 12}"


def test_what_is_no_number_is_dark() -> None:
    values = np.array([[[np.nan, 1.0], [np.nan, np.inf]]])
    assert "from 1 to 1" in shown(layer_picture("conv1", values, 60), None)

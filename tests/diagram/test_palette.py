"""The colours: text can be read on every ground, and families are told apart, by the colour-blind, too."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from cnnspec.diagram.assets import stylesheet
from cnnspec.diagram.palette import CALLED, FAMILIES, PALETTES, Theme, contrast
from cnnspec.layers import LAYERS

Colour = npt.NDArray[np.float64]

# Machado, Oliveira & Fernandes 2009: how linear RGB looks to those who lack one kind of cone.
SEEN_BY = {
    "everyone": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> Colour:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: Colour) -> Colour:
    xyz = TO_XYZ @ rgb / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", PALETTES)
def test_text_has_contrast_on_every_ground(theme: Theme) -> None:
    colours = PALETTES[theme]
    for ground in ("paper", "frame", *(f"{family}-tint" for family in FAMILIES)):
        for text in ("ink", "muted"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["accent"], colours["paper"]) >= 4.5


@pytest.mark.parametrize("theme", PALETTES)
def test_marks_and_edges_have_contrast(theme: Theme) -> None:
    colours = PALETTES[theme]
    for name in (*FAMILIES, "edge", "accent"):
        for ground in ("paper", "frame") if name == "edge" else ("paper",):
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)


@pytest.mark.parametrize("sight", SEEN_BY)
@pytest.mark.parametrize("theme", PALETTES)
def test_families_are_told_apart(theme: Theme, sight: str) -> None:
    matrix = np.array(SEEN_BY[sight])
    seen = {family: lab(np.clip(matrix @ linear(PALETTES[theme][family]), 0, 1)) for family in FAMILIES}
    for one, other in combinations(FAMILIES, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 10, (one, other)


def test_every_layer_has_a_family() -> None:
    assert {cls.family for cls in LAYERS.values()} == set(FAMILIES) == set(CALLED)
    assert {cls.family for kind, cls in LAYERS.items() if kind.endswith("_pool")} == {"pool"}


def test_the_style_sheet_has_both_themes() -> None:
    found = stylesheet()
    for theme in PALETTES:
        (rule,) = re.findall(rf"^\[data-theme={theme}\] {{(.*)}}$", found, re.M)
        for name, colour in PALETTES[theme].items():
            assert f"--{name}: {colour};" in rule
    assert "prefers-color-scheme: dark" in found

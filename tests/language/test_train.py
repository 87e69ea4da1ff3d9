"""Training settings from plain Python values."""

from __future__ import annotations

from typing import Any

import pytest

import cnnspec
from cnnspec.diagnostics import SpecError
from cnnspec.graph.training import Blur, Erase, Flip, Grey, Noise, OneOf, Rotate, Sgd, Shift, Train
from cnnspec.language.render import render
from cnnspec.language.train import train_settings


def test_plain_values_are_read_as_a_section_is():
    found = train_settings(
        {"optimizer": {"sgd": {"learning_rate": 0.5}}, "epochs": 3, "augment": {"flip": "horizontal"}}
    )
    assert (found.epochs, found.optimizer) == (3, Sgd(learning_rate=0.5))
    assert train_settings({}) == Train()


@pytest.mark.parametrize(
    ("values", "code", "message", "line"),
    [
        ({"epochs": 0}, "invalid-value", "`epochs` takes 1 or more, not 0", "1 | epochs=0"),
        ({"epochs": "many"}, "wrong-type", "`epochs` takes a whole number, not the text `many`", "1 | epochs='many'"),
        ({"seed": 1, "optimizer": {"sdg": 1}}, "invalid-value", "not `sdg`", "2 | optimizer={'sdg': 1}"),
        ({"epoch": 1}, "unknown-key", "`train` has no `epoch`", "1 | epoch=1"),
        ({"data": object}, "wrong-type", "`data`: a spec cannot hold a value of the type type", "1 | data=<class"),
        ({"optimizer": {1: 2}}, "wrong-type", "a key is text, not 1", "1 | optimizer={1: 2}"),
    ],
)
def test_values_that_are_not_valid(values: dict[str, Any], code: str, message: str, line: str):
    with pytest.raises(SpecError) as caught:
        train_settings(values)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert message in found.message
    assert line in str(caught.value)


AUGMENTED = {
    "{shift: 2, flip: horizontal}": (Shift(pixels=2), Flip()),
    "{shift: 0, flip: none}": (),
    "{}": (),
    "[]": (),
    "$changes": (Flip(axis="both"), Shift(pixels=3)),
    "[flip: {probability: $p}, erase: {fill: 0}]": (Flip(probability=0.25), Erase(fill=0)),
    "[rotate: 10, blur: 1, noise: [1, 2]]": (Rotate(degrees=(-10, 10)), Blur(sigma=(1, 1)), Noise(std=(1, 2))),
    "[one_of: [grey, one_of: {transforms: [blur, flip: vertical], probability: 0.5}]]": (
        OneOf(transforms=(Grey(), OneOf(transforms=(Blur(), Flip(axis="vertical")), probability=0.5))),
    ),
    "[random_crop: 4, random_resized_crop, scale: [0.5, 2], color_jitter: {hue: 0.1, brightness: [1, 2]}]": None,
}


@pytest.mark.parametrize(("written", "expected"), AUGMENTED.items())
def test_augmentation_is_read_and_rendered(written: str, expected: Any):
    spec = cnnspec.loads(
        "input: [3, 8, 8]\nlayers: [flatten, dense: 2]\nparams: {p: 0.25, changes: [{flip: both}, {shift: 3}]}\n"
        f"train: {{augment: {written}}}"
    )
    assert spec.train is not None
    assert expected is None or spec.train.augment == expected
    again = cnnspec.loads(render(spec)).train
    assert again is not None
    assert again.augment == spec.train.augment


def test_augmentation_as_plain_values():
    found = train_settings({"augment": ["blur", {"rotate": 10}, {"one_of": ["grey", {"flip": "both"}]}]})
    assert found.augment == (Blur(), Rotate(degrees=(-10, 10)), OneOf(transforms=(Grey(), Flip(axis="both"))))
    assert train_settings({"augment": {"shift": 0, "flip": "vertical"}}).augment == (Flip(axis="vertical"),)

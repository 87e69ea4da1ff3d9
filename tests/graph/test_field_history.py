"""The formulas of receptive fields: each is true, and together they lead to the field of the table."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest

import cnnspec
from cnnspec.graph.costs import receptive_fields
from cnnspec.graph.field_history import field_history
from cnnspec.layers.traced_field import TracedField

NETWORKS = ["lenet", "unet", "resnet18", "googlenet", "attention_unet", "shufflenet_v2_x1_0", "m5", "r3d_18"]


def value(expression: str) -> Fraction:
    """A formula's side as a number: · is a product, ⌊…⌋ rounds down, fractions stay exact."""
    text = re.sub(r"\d+", lambda number: f"Fraction({number[0]})", expression)
    text = text.replace("⌊", "floor(").replace("⌋", ")").replace("·", "*").replace("−", "-")
    return Fraction(eval(text, {"Fraction": Fraction, "floor": math.floor, "min": min, "max": max}))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_formula_is_true(name: str) -> None:
    checked = 0
    for field in (
        f for fields in receptive_fields(cnnspec.load(name).graph, TracedField.start).values() for f in fields
    ):
        assert isinstance(field, TracedField) or not field.size - 1
        for step in getattr(field, "steps", ()):
            for equation in re.split(r", (?=j =)|, all ", step):
                if "=" not in equation:
                    continue
                _, *sides = equation.split(" = ")
                assert len({value(side) for side in sides}) == 1, equation
                checked += 1
    assert checked > 8


@pytest.mark.parametrize("name", NETWORKS)
def test_tracing_changes_no_field(name: str) -> None:
    graph = cnnspec.load(name).graph
    plain, traced = receptive_fields(graph), receptive_fields(graph, TracedField.start)
    assert {name: [*map(tuple, fields)] for name, fields in traced.items()} == {
        name: [*map(tuple, fields)] for name, fields in plain.items()
    }


def test_lenet_by_hand() -> None:
    """5, then 5 + 1; two rows further apart: 6 + 4·2 = 14, 14 + 2 = 16, and all of 28."""
    history = field_history(cnnspec.load("lenet").graph, "dense1")
    assert [(step.name, step.fields[0].size, step.fields[0].step) for step in history[:-1]] == [
        ("input", 1, 1),
        ("conv1", 5, 1),
        ("max_pool1", 6, 2),
        ("conv2", 14, 2),
        ("max_pool2", 16, 4),
    ]
    assert (history[-1].name, history[-1].fields[0].size) == ("dense1", 28)
    assert history[3].formulas[0] == ("r = 6 + (5 − 1) · 2 = 14, j = 2 · 1 = 2",)


def test_the_way_goes_through_the_widest_branch() -> None:
    text = """\
input: [1, 16, 16]
layers:
  - add:
      narrow: [conv: {channels: 1, kernel: 3, padding: same, name: three}]
      wide: [conv: {channels: 1, kernel: 7, padding: same, name: seven}]
  - conv: {channels: 1, kernel: 3, name: last}
"""
    graph = cnnspec.loads(text).graph
    assert [step.name for step in field_history(graph, "last")] == ["input", "seven", "last"]
    assert field_history(graph, "add1")[-1].formulas[0] == ("r = max(3, 7) = 7, j = 1",)


def test_a_vector_has_no_history() -> None:
    assert field_history(cnnspec.loads("input: [3]\nlayers: [dense: 2]\n").graph, "dense1") == []

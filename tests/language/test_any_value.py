"""A check reports and never raises, whatever value stands in place of another."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnnspec
from cnnspec import bundled
from cnnspec.diagnostics import Source, any_errors, format_diagnostic
from cnnspec.language.yaml_tree import parse

NAMES = ("lenet", "resnet18", "resnet34", "googlenet", "textbook/multiply_three_channels", "unet")
Path = tuple[str | int, ...]


def tree(name: str) -> Any:
    root, _ = parse(Source(name, bundled.find(name).read_text("utf-8")))
    return root.plain()


TREES = {name: tree(name) for name in NAMES if bundled.find(name)}

VALUES = [
    None, True, False, 0, -1, 3, 10**18, -(10**30), 10**290, 1.5, 1e308, math.inf, -math.inf, math.nan, "", "a",
    "$width", "$depths", "$(depths * 2)", "$(1/0)", "x$depths", "$", "same", "input", "conv1", "-", "int", "`x`",
    "\u202e", [], [[]], [1], [1, [2]], [None], [True], [1.5], ["a"], [[1, 2], [3]], [3, 8, 8], [math.nan] * 3,
    ["relu"], [{"conv": 3}], {}, {"a": 1}, {"a": None}, {"": []}, {"a": {"b": []}}, {"from": None}, {"each": None},
]  # fmt: skip


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


def put(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    if isinstance(tree, dict):
        return {key: put(item, path[1:], value) if key == path[0] else item for key, item in tree.items()}
    return [put(item, path[1:], value) if i == path[0] else item for i, item in enumerate(tree)]


def as_yaml(value: Any) -> str:
    numbers = {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}
    return re.sub(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', lambda m: numbers.get(m[0], m[0]), json.dumps(value))


def assert_reported(text: str, params: dict[str, Any] | None = None) -> cnnspec.Report:
    report = cnnspec.check(Source("spec.yaml", text), params=params)
    assert report.ok is not any_errors(report.diagnostics)
    assert all(map(format_diagnostic, report.diagnostics))
    return report


PLACES = [(name, path) for name, whole in TREES.items() for path in paths(whole)]


@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_any_value_in_any_place(place: tuple[str, Path], value: Any):
    name, path = place
    assert_reported(as_yaml(put(TREES[name], path, value)))


@given(st.sampled_from(VALUES), st.sampled_from([*VALUES, 10**5000, object(), (1, 2), b"x"]))
def test_any_value_of_a_parameter(own: Any, override: Any):
    assert_reported(as_yaml({"extends": "resnet18", "params": {"depths": own}}))
    assert_reported(as_yaml(TREES["resnet18"]), {"depths": override})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("$(p * 2)", "`*` takes numbers, not nothing"),
        ("$(-p)", "`-` takes a number"),
        ("a$p", "nothing cannot stand inside of text"),
    ],
)
def test_an_expression_over_null(expression: str, message: str):
    text = f"input: [1, 8, 8]\nparams: {{p: null}}\nlayers: [flatten, dense: {expression}]\n"
    assert [d.message for d in assert_reported(text).diagnostics] == [message]


def test_an_extended_list_with_a_hole():
    found = assert_reported("extends: resnet18\nparams: {depths: [2, null, 2, 2]}\n").diagnostics
    assert found
    assert all(d.code in ("wrong-type", "bad-expression") for d in found)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(10**5000, "a number of more than 1,000 digits"), (object(), "a value of the type object"), ({1: 2}, "a mapping")],
    ids=["digits", "object", "mapping"],
)
def test_a_parameter_from_outside_that_no_text_could_hold(value: Any, shown: str):
    report = assert_reported("input: [1, 8, 8]\nparams: {p: 1}\nlayers: [flatten, dense: $p]\n", {"p": value})
    assert [d.message for d in report.diagnostics] == [
        f"`p` takes a number, text, a list, a mapping, true or false, not {shown}"
    ]


@pytest.mark.parametrize(("value", "shown"), [("null", "nothing"), ("[a]", "a list of 1"), ("3", "3")])
def test_from_takes_a_name(value: str, shown: str):
    text = f"input: [1, 8, 8]\nlayers: [relu, add: {{a: [], b: [from: {value}]}}]\n"
    assert [d.message for d in assert_reported(text).diagnostics] == [f"`from` takes the name of a layer, not {shown}"]

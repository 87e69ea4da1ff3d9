"""The JSON Schema accepts what the checker accepts, and refuses what the rules of fields refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from conftest import ROOT, Cnnspec
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import BaseModel, ValidationError

import cnnspec as package
from cnnspec import bundled
from cnnspec.bundled import MODELINE, SCHEMA
from cnnspec.diagnostics import Source, SpecError
from cnnspec.graph.settings import ExampleText, Expect, Input
from cnnspec.graph.training import LOSSES, OPTIMIZERS, SCHEDULES, TRANSFORMS, Clip, Columns, EarlyStopping, Train
from cnnspec.language.document import KEYS
from cnnspec.language.files import open_base, read_spec
from cnnspec.language.schema.document import schema, schema_of
from cnnspec.language.schema.values import fields_of
from cnnspec.language.yaml_tree import parse
from cnnspec.layers import LAYERS

SCHEMA_OF_ALL = schema(LAYERS)
VALIDATOR = Draft7Validator(SCHEMA_OF_ALL)
SMALL = "input: [1, 8, 8]\nlayers:\n  - conv: {channels: 2, kernel: 3}\n"
BLOCK = "blocks: {unit: {params: {c: int, s: 1}, layers: [conv: {channels: $c, kernel: 3}]}}\n"


def plain(text: str, name: str = "net.yaml") -> Any:
    root, _ = parse(Source(name, text))
    assert root is not None
    return root.plain()


def validator_of(text: str) -> Draft7Validator:
    return Draft7Validator(schema_of(Source("net.yaml", text), LAYERS, open_base))


class TestBundled:
    def test_it_is_a_schema(self) -> None:
        Draft7Validator.check_schema(SCHEMA_OF_ALL)
        assert list(SCHEMA_OF_ALL["properties"]) == list(KEYS)

    @pytest.mark.parametrize("name", bundled.names())
    def test_accepts_every_spec(self, name: str) -> None:
        source = read_spec(name)
        spec = plain(source.text)
        assert [error.message for error in VALIDATOR.iter_errors(spec)] == []
        own = schema_of(source, LAYERS, open_base)
        Draft7Validator.check_schema(own)
        assert [error.message for error in Draft7Validator(own).iter_errors(spec)] == []

    def test_the_file_is_what_the_command_prints(self, cnnspec: Cnnspec) -> None:
        """`cnnspec schema > specs/cnnspec.schema.json` writes it anew."""
        assert cnnspec("schema").output == (ROOT / "specs" / SCHEMA).read_text("utf-8")

    @pytest.mark.parametrize("name", bundled.names())
    def test_every_spec_names_it_in_its_first_line(self, name: str) -> None:
        path = bundled.find(name)
        assert path is not None
        first = path.read_text("utf-8").splitlines()[0]
        assert first.startswith(MODELINE)
        assert (path.parent / first.removeprefix(MODELINE)).resolve() == ROOT / "specs" / SCHEMA


MODELS: dict[str, type[BaseModel]] = {
    **{f"layer {kind}": cls for kind, cls in LAYERS.items()},
    **{f"{family} {kind}": cls
       for family, options in {"loss": LOSSES, "optimizer": OPTIMIZERS, "schedule": SCHEDULES,
                               "transform": TRANSFORMS}.items()
       for kind, cls in options.items()},
    **{cls.__name__: cls for cls in (Input, Expect, ExampleText, Clip, Columns, EarlyStopping, Train)},
}  # fmt: skip
READ_BY_THE_LANGUAGE = {
    "Train": {"loss", "losses", "optimizer", "schedule", "augment", "columns", "clip", "early_stopping"},
    "transform one_of": {"transforms"},
}
VALUES = [
    None, True, False, -400, -2, -1, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 90, 255, 256, 361, 2_000_000,
    2**31, 10**10,
    "", "word", "same", "same_upper", "valid", "all", "channels", "width", "nearest", "linear", "random", "horizontal",
    "he_normal", "none", "tanh", "max", "input", "mean", [], [0], [1], [1, 2], [0, 2, 1], [0, 0],
    [0.5, 0.7], [-0.2, 0.2],
    [3, 3, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [2, -1], [True], ["a"], ["width"], ["height", "channels", "width"],
    [[1, 2], [3, 4]], [[0.5]], {}, {"each_side": 1}, {"each_side": [1, 2]}, {"each_side": -1}, {"top": 1},
    {"left": 1.5}, {"up": 1}, {"each_side": 1, "top": 1}, {"a": 1}, {"a": [2, 3]},
]  # fmt: skip


NOT_IN_A_SCHEMA: dict[tuple[str, str], list[Any]] = {
    ("schedule milestones", "at"): [[3, 3, 3]],
    ("transform rotate", "degrees"): [[2, -1]],
}
"""Values that the checker refuses by a rule that no JSON Schema has: an ascending order."""


def fields() -> Iterator[tuple[str, str]]:
    for name, cls in MODELS.items():
        yield from ((name, field) for field in cls.model_fields if field not in READ_BY_THE_LANGUAGE.get(name, ()))


@pytest.mark.parametrize(("model", "field"), [*fields()])
def test_a_field_takes_the_values_that_the_checker_takes(model: str, field: str) -> None:
    cls = MODELS[model]
    validator = Draft7Validator({**fields_of(cls)[field], "definitions": SCHEMA_OF_ALL["definitions"]})

    def is_taken(value: Any) -> bool:
        try:
            cls(**{field: value})
        except ValidationError as error:
            return all(found["loc"][0] != field for found in error.errors())
        return True

    wrong = [value for value in VALUES if is_taken(value) is not validator.is_valid(value)]
    assert wrong == NOT_IN_A_SCHEMA.get((model, field), [])


FAULTS = {
    "an unknown key of the spec": SMALL + "layer: []\n",
    "no layers": "input: [1, 8, 8]\n",
    "no input": "layers: [relu]\n",
    "two forms of the input": SMALL + "inputs: {a: [1, 8, 8]}\n",
    "a list of two sizes": SMALL.replace("[1, 8, 8]", "[8, 8]"),
    "an input of no axes": SMALL.replace("[1, 8, 8]", "{channels: 1, breadth: 8}"),
    "a size of zero": SMALL.replace("[1, 8, 8]", "[1, 0, 8]"),
    "another version": "cnnspec: 2\n" + SMALL,
    "an unknown scheme": SMALL + "init: xavier\n",
    "an unknown kind": SMALL + "  - rellu\n",
    "an unknown kind with fields": SMALL + "  - conv2d: {channels: 2, kernel: 3}\n",
    "a kind without its field": SMALL + "  - dense\n",
    "a missing field": SMALL + "  - conv: {channels: 2}\n",
    "an unknown field": SMALL + "  - max_pool: {kernel: 2, pad: 1}\n",
    "a field of the wrong type": SMALL + "  - conv: {channels: two, kernel: 3}\n",
    "a value for a layer without a main field": SMALL + "  - relu: 3\n",
    "a number out of range": SMALL + "  - dropout: 1.5\n",
    "an unknown word": SMALL + "  - conv: {channels: 2, kernel: 3, padding: sames}\n",
    "four paddings": SMALL + "  - conv: {channels: 2, kernel: 3, padding: [1, 1, 1, 1]}\n",
    "two kinds in one item": SMALL + "  - {relu: , tanh: }\n",
    "an unknown norm": SMALL + "  - conv: {channels: 2, kernel: 3, norm: relu}\n",
    "an unknown activation": SMALL + "  - conv: {channels: 2, kernel: 3, activation: [relu]}\n",
    "a size beside like": SMALL + "  - crop: {size: 2, like: conv1}\n",
    "branches as a list": SMALL + "  - add: [conv1, conv1]\n",
    "one branch": SMALL + "  - add: {main: [relu]}\n",
    "a branch that is no list": SMALL + "  - add: {main: relu, skip: []}\n",
    "a fault in a branch": SMALL + "  - add: {main: [relu: {slope: 1}], skip: []}\n",
    "a repeat without rounds": SMALL + "  - repeat: {layers: [relu]}\n",
    "a repeat with both": SMALL + "  - repeat: {times: 2, each: {c: [1]}, layers: [relu]}\n",
    "a repeat without layers": SMALL + "  - repeat: {times: 2}\n",
    "a repeat with a list for each": SMALL + "  - repeat: {each: [1, 2], layers: [relu]}\n",
    "a number of the first round alone": SMALL + "  - repeat: {times: 2, first: 0, layers: [relu]}\n",
    "an invalid name": SMALL + "  - relu: {name: a b}\n",
    "an invalid expectation": SMALL + "  - relu: {expect: 3}\n",
    "a stray dollar": SMALL + "  - dense: $\n",
    "an invalid parameter": "params: {a-b: 1}\n" + SMALL,
    "a block called as a kind": "blocks: {relu: {layers: []}}\n" + SMALL,
    "a block without layers": "blocks: {unit: {params: {c: int}}}\n" + SMALL,
    "a parameter of a block without a value": "blocks: {unit: {params: {c: }, layers: [relu]}}\n" + SMALL,
    "an unknown loss": SMALL + "train: {loss: hinge}\n",
    "an unknown field of the training": SMALL + "train: {lr: 0.1}\n",
    "an unknown field of an optimizer": SMALL + "train: {optimizer: {adam: {beta: 0.9}}}\n",
    "a rate of the wrong type": SMALL + "train: {optimizer: {sgd: fast}}\n",
    "no losses": SMALL + "train: {losses: {}}\n",
    "an unknown transform": SMALL + "train: {augment: [warp]}\n",
    "a transform out of range": SMALL + "train: {augment: [rotate: 400]}\n",
    "no alternatives": SMALL + "train: {augment: [one_of: []]}\n",
    "an example without an output": SMALL + "examples: [{input: 0}]\n",
    "an unknown total": SMALL + "expect: {params: 3}\n",
    "no outputs": SMALL + "outputs: []\n",
    "a class that is no text": SMALL + "classes: [true]\n",
}  # fmt: skip
OF_BLOCKS = {
    "an unknown block": "  - units: 3\n",
    "an unknown argument": "  - unit: {c: 3, t: 1}\n",
    "a missing argument": "  - unit: {s: 3}\n",
    "a block without its argument": "  - unit\n",
    "an argument of the wrong type": "  - unit: {c: three}\n",
    "a first argument of the wrong type": "  - unit: {}\n",
    "an unknown parameter": "  - unit: $depth\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refuses_what_the_checker_refuses(fault: str) -> None:
    assert not package.check(Source("net.yaml", FAULTS[fault])).ok
    assert not VALIDATOR.is_valid(plain(FAULTS[fault]))


@pytest.mark.parametrize("fault", OF_BLOCKS)
def test_the_schema_of_a_spec_knows_its_blocks_and_parameters(fault: str) -> None:
    text = BLOCK + SMALL + OF_BLOCKS[fault]
    assert not package.check(Source("net.yaml", text)).ok
    assert VALIDATOR.is_valid(plain(text)), "that of every spec does not know its blocks"
    assert not validator_of(text).is_valid(plain(text))


FORMS = {
    "blocks": BLOCK + SMALL + "  - unit: 3\n  - unit: {c: 2, s: 1, name: u, expect: [2, 2, 2]}\n",
    "expressions": "params: {c: 4, k: [3, 3], act: relu, n: {batch_norm: {eps: 0.1}}, p: 0.5}\n" + SMALL
    + "  - conv: {channels: $(c * 2), kernel: $k, norm: $n, activation: $act, name: x$c}\n  - $act\n  - dropout: $p\n"
    + "  - repeat: {times: $c, index: i, layers: [max_pool: {kernel: $(0 + 1), padding: {top: $(i - i)}}]}\n",
    "a kind that is a parameter": "params: {unit: tanh}\n" + SMALL + "  - $unit\n  - $unit: {name: last}\n",
    "fields from a parameter": "params: {down: {channels: 3, kernel: 1}}\n" + SMALL + "  - conv: $down\n",
    "nothing behind a kind": SMALL + "  - relu:\n",
    "names that are numbers": "blocks: {b: {layers: [relu: {name: 0}]}}\n" + SMALL + "  - b: {name: x}\n",
    "no norm": SMALL + "  - conv: {channels: 2, kernel: 1, norm: none, activation: none}\n",
    "like": SMALL + "  - conv: {channels: 2, kernel: 3}\n  - resize: {like: conv1, mode: bilinear}\n",
    "a volume": "input: {channels: 3, depth: 4, height: 8, width: 8, scale: 1}\n"
    "layers: [conv: {channels: 1, kernel: [1, 3, 3]}]\n",
    "outputs": SMALL + "  - relu\noutputs: {a: conv1, b: relu1}\nclasses: {a: [x, 1]}\ntrain: {losses: {a: dice}}\n",
    "training": SMALL + "train: {optimizer: {sgd: {momentum: 0.9}}, schedule: {step: 3}, clip: 1.0, augment: "
    "{shift: 0, flip: none, rotate: 10}, early_stopping: 3, epochs: 3, loss: l1}\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_accepts_every_form(form: str) -> None:
    report = package.check(Source("net.yaml", FORMS[form]))
    assert report.ok, report.diagnostics
    for validator in (VALIDATOR, validator_of(FORMS[form])):
        assert [(list(error.path), error.message) for error in validator.iter_errors(plain(FORMS[form]))] == []


def test_a_spec_that_extends_another_has_its_blocks() -> None:
    spec = "extends: resnet\nblocks: {head: {layers: [basic: {c: 8}, bottleneck: 3]}}\n"
    assert validator_of(spec).is_valid(plain(spec))
    assert not validator_of(spec).is_valid(plain(spec.replace("basic", "basics")))


def test_a_spec_whose_declarations_have_errors_has_none(cnnspec: Cnnspec) -> None:
    with pytest.raises(SpecError, match="a block cannot be called"):
        validator_of("blocks: {a b: {layers: []}}\n" + SMALL)
    result = cnnspec("schema", "nowhere.yaml")
    assert result.exit_code == 1
    assert "no such file" in result.output


def test_descriptions_and_defaults_are_those_of_the_classes() -> None:
    conv = SCHEMA_OF_ALL["definitions"]["layer.conv"]
    stride = conv["anyOf"][0]["properties"]["stride"]
    assert "Cross-correlation" in conv["description"]
    assert stride["description"] == "Step of the window."
    assert stride["default"] == 1


@cache
def trees() -> dict[str, Any]:
    return {name: plain(read_spec(name).text) for name in ("lenet", "resnet", "unet", "siamese", "textbook/stride")}


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


def put(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(tree, dict):
        return {key: put(item, path[1:], value) if key == path[0] else item for key, item in tree.items()}
    return [put(item, path[1:], value) if i == path[0] else item for i, item in enumerate(tree)]


@given(st.data())
def test_never_refuses_what_the_checker_accepts(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(trees())))
    path = data.draw(st.sampled_from(list(paths(trees()[name]))))
    value = data.draw(st.sampled_from([*VALUES, "$(1 + 1)", "$c", "$width", "relu", ["relu"], [{"dense": 3}]]))
    spec = put(trees()[name], path, value)
    if package.check(Source("net.yaml", json.dumps(spec)), fixes=False).ok:
        assert VALIDATOR.is_valid(spec)

"""`render`: everything expanded, and the same network as before."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import cnnspec
from cnnspec import bundled
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.language.render import flow, render
from cnnspec.language.yaml_tree import parse
from cnnspec.layers.activation import Relu
from cnnspec.layers.merge import Add


def essence(spec: Spec) -> list[object]:
    """All that makes a graph what it is, but for its places in a text."""
    examples = [replace(example, span=None) for example in spec.examples]  # type: ignore[arg-type]
    graph = spec.graph
    head = [spec.name, spec.inputs, spec.classes_of, spec.init, spec.train, examples, graph.inputs, graph.output_names]
    head.append(graph.outputs)
    return [*head, *(replace(node, span=None) for node in spec.graph.nodes)]


@pytest.mark.parametrize("name", bundled.names())
@pytest.mark.parametrize("defaults", [True, False])
def test_the_rendered_spec_is_the_same_network(name: str, defaults: bool) -> None:
    graph = cnnspec.load(name)
    text = cnnspec.render(name, defaults=defaults)
    again = cnnspec.loads(text)
    assert essence(again) == essence(graph)
    assert not again.warnings
    assert render(again, defaults=defaults) == text


SPECS = {
    "skip first": "add: {skip: [], main: [conv: {channels: 2, kernel: 1}, relu]}",
    "three branches": "concat: {a: [relu], b: [], c: [tanh, sigmoid]}",
    "nested": "add: {a: [add: {b: [relu], c: [tanh]}], d: [multiply: {e: [], f: [sigmoid]}]}",
    "all elsewhere": "add: {a: [from: one, relu], b: [from: two]}",
    "from a sibling": "concat: {a: [relu: {name: r}], b: [from: r, tanh], c: [from: r]}",
    "from the input": "concat: {a: [], b: [from: input]}",
    "the same twice": "multiply: {a: [], b: []}",
    "a merge ends a branch": "concat: {a: [relu, add: {x: [], y: [tanh]}], b: [from: one, relu]}",
    "shared in branches": "add: {a: [conv: {channels: 2, kernel: 1, name: c, norm: batch_norm}], "
    "b: [conv: {channels: 2, kernel: 1, share: c, norm: batch_norm}]}",
    "back to back": "add: {a: [], b: [relu]}\n  - add: {a: [tanh], b: []}\n  - add: {a: [], b: [from: one]}",
}


@pytest.mark.parametrize("item", SPECS.values(), ids=SPECS.keys())
def test_branches_of_every_form(item: str) -> None:
    before = "input: [2, 4, 4]\nname: x\nlayers:\n  - relu: {name: one}\n  - tanh: {name: two}\n"
    graph = cnnspec.loads(f"{before}  - {item}\n  - flatten\n")
    assert essence(cnnspec.loads(render(graph))) == essence(graph)


def test_sugar_blocks_and_defaults_are_gone() -> None:
    graph = cnnspec.loads("""
cnnspec: 1
name: small
input: {shape: [1, 8, 8], mean: 0.5, fit: pad}
params: {c: 3}
blocks: {unit: {params: {n: int}, layers: [conv: {channels: $n, kernel: 3, norm: batch_norm, activation: relu}]}}
layers:
  - repeat: {times: 2, name: stage, layers: [unit: $c]}
  - flatten
  - dense: 2
classes: [yes, "1"]
examples: [{name: "zero: all", input: 0, output: 0, tolerance: 100}]
""")
    assert render(graph, defaults=False) == (
        "cnnspec: 1\n"
        "name: small\n"
        "input: {shape: [1, 8, 8], mean: 0.5, fit: pad}\n"
        'classes: [yes, "1"]\n'
        "layers:\n"
        "  - conv: {name: stage1.conv1, channels: 3, kernel: 3, bias: false}\n"
        "  - batch_norm: {name: stage1.batch_norm1}\n"
        "  - relu: {name: stage1.relu1}\n"
        "  - conv: {name: stage2.conv1, channels: 3, kernel: 3, bias: false}\n"
        "  - batch_norm: {name: stage2.batch_norm1}\n"
        "  - relu: {name: stage2.relu1}\n"
        "  - flatten\n"
        "  - dense: {units: 2}\n"
        "expect: {parameters: 218, macs: 2364, output: [2]}\n"
        "examples:\n"
        '  - name: "zero: all"\n'
        "    input: 0.0\n"
        "    output: 0.0\n"
        "    tolerance: 100.0\n"
    )
    first = render(graph).splitlines()[5]
    assert first == (
        "  - conv: {name: stage1.conv1, channels: 3, kernel: 3, stride: 1, padding: valid, dilation: 1, groups: 1, "
        "flip: false, bias: false}"
    )


@pytest.mark.parametrize(
    "value",
    [
        "plain", "two words", "", " edge", "no", "true", "null", "~", "1", "1e3", "0x1F", ".inf", "a: b", "#c", "- d",
        "é ü", "漢字", 'quote"d', "back\\slash", "line\nbreak", "$ref", "[x]", "{y}", "&a", "*b", "!t", "%d", "@at",
        0, -3, 1.5, 1e-5, 1e300, 2.0, True, False, None, [1, [2, "x"]], {"k": {"l": []}},
    ],
)  # fmt: skip
def test_flow_style_reads_back(value: object) -> None:
    node, faults = parse(cnnspec.Source("x", f"key: {flow(value)}"))
    assert not faults
    assert node is not None
    assert node.plain() == {"key": value}


# Every network


class Writer:
    """Draws a spec, item by item, and remembers the names that `from` may use."""

    KINDS = ("relu", "tanh", "sigmoid", "batch_norm", "conv")

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.inputs = draw(st.sampled_from([["input"], ["left", "right"], ["a", "b", "c"]]))
        self.names = [*self.inputs]
        self.owners: dict[str, list[str]] = {"conv": [], "batch_norm": []}
        """The named layers with weights, by kind, which `share` may use."""
        self.left = draw(st.integers(1, 14))

    def items(self, depth: int, most: int = 4) -> list[Any]:
        return [item for _ in range(self.draw(st.integers(0, most))) if self.left > 0 for item in self.item(depth)]

    def item(self, depth: int) -> list[Any]:
        self.left -= 1
        what = self.draw(st.integers(0, 10))
        if what < 5 or depth > 3:
            return [self.layer()]
        if what == 10:  # a jump: in a list outside of branches
            return [{"from": self.draw(st.sampled_from(self.names))}] if depth == 0 else [self.layer()]
        if what == 5:
            return [{"unit": {"name": self.name()} if self.draw(st.booleans()) else {}}]
        if what == 6:
            named = {"name": self.name()} if self.draw(st.booleans()) else {}
            return [{"repeat": {"times": self.draw(st.integers(1, 2)), "layers": [self.layer(named=False)], **named}}]
        kind = self.draw(st.sampled_from(["add", "multiply", "concat"]))
        named = {"name": self.name()} if self.draw(st.booleans()) else {}
        branches = {key: self.branch(depth) for key in "abc"[: self.draw(st.integers(2, 3))]}
        self.names += named.values()
        # Of a concatenation the first channels go on, so that every shape is the same.
        return [{kind: named | branches}, *([{"slice": [0, 2]}] if kind == "concat" else [])]

    def branch(self, depth: int) -> list[Any]:
        start = [{"from": self.draw(st.sampled_from(self.names))}] if self.draw(st.booleans()) else []
        return [*start, *self.items(depth + 1, 3)]

    def layer(self, named: bool = True) -> Any:
        kind = self.draw(st.sampled_from(self.KINDS))
        fields: dict[str, Any] = {"channels": 2, "kernel": 3, "padding": "same"} if kind == "conv" else {}
        owners = self.owners.get(kind, [])
        if owners and self.draw(st.booleans()):
            fields["share"] = self.draw(st.sampled_from(owners))
        if named and self.draw(st.booleans()):
            fields["name"] = self.name()
            self.names.append(fields["name"])
            owners.append(fields["name"])
        return {kind: fields} if fields else kind

    def name(self) -> str:
        # Some look like those that layers get by themselves.
        self.count = getattr(self, "count", 0) + 1
        return self.draw(st.sampled_from([f"n{self.count}", f"relu{self.count + 1}", f"s.tanh{self.count}"]))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    writer = Writer(draw)
    unit = ["relu", {"add": {"a": ["tanh"], "b": []}}]
    spec: dict[str, Any] = {"blocks": {"unit": {"layers": unit}}, "layers": [*writer.items(0, 8), "relu"]}
    spec["inputs"] = {name: [2, 3, 3] for name in writer.inputs}
    if writer.inputs == ["input"] and draw(st.booleans()):
        spec["input"] = spec.pop("inputs")["input"]
    layers = [name for name in writer.names if name not in writer.inputs]
    if layers and draw(st.booleans()):
        outputs = draw(st.lists(st.sampled_from(layers), min_size=1, max_size=3, unique=True))
        spec["outputs"] = {f"out{i}": n for i, n in enumerate(outputs)} if draw(st.booleans()) else outputs
    return spec


FUZZED = {
    "input": [3, 6, 3],
    "layers": [{"multiply": {"a": ["sigmoid"], "b": ["sigmoid"], "c": [{"add": {"a": ["relu"], "b": ["relu"]}}]}}],
}


@settings(max_examples=int(os.environ.get("CNNSPEC_EXAMPLES", "200")), deadline=None)
@given(specs(), st.booleans())
@example(FUZZED, True)
@example(FUZZED, False)
def test_every_network_is_rendered_as_itself(written: dict[str, Any], defaults: bool) -> None:
    report = cnnspec.check(cnnspec.Source("x", yaml.safe_dump({"name": "x", **written}, sort_keys=False)))
    assume(report.spec is not None)  # two layers may have got one name
    assert report.spec is not None
    text = render(report.spec, defaults=defaults)
    again = cnnspec.loads(text)
    assert essence(again) == essence(report.spec), text
    assert render(again, defaults=defaults) == text


def test_a_graph_built_in_any_order_is_rendered() -> None:
    builder = GraphBuilder("two heads")
    builder.input((3,))
    builder.add("one", Relu(), ["input"])
    builder.add("two", Relu(), ["input"])
    builder.input((3,), "late")
    builder.add("sum", Add(), ["late", "one"], branches=("x", "y"))
    graph = builder.graph({"main": "sum", "two": "two"})
    spec = Spec("two heads", graph, {"input": Input(shape=(3,)), "late": Input(shape=(3,))})
    again = cnnspec.loads(render(spec)).graph
    assert {node.name: (node.layer, node.inputs) for node in again.nodes} == {
        node.name: (node.layer, node.inputs) for node in graph.nodes
    }
    assert (again.outputs, again.output_names) == (("sum", "two"), ("main", "two"))

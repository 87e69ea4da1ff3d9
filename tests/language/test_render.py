"""`render`: everything expanded, and the same network as before."""

from __future__ import annotations

from dataclasses import replace

import pytest

import cnnspec
from cnnspec import bundled
from cnnspec.graph.spec import Spec
from cnnspec.language.render import flow, render
from cnnspec.language.yaml_tree import parse


def essence(spec: Spec) -> list[object]:
    """All that makes a graph what it is, but for its places in a text."""
    examples = [replace(example, span=None) for example in spec.examples]  # type: ignore[arg-type]
    head = [spec.name, spec.input, spec.classes, spec.init, spec.train, examples]
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

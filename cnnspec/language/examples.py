"""The `examples` of a spec."""

from __future__ import annotations

from cnnspec.diagnostics import Label
from cnnspec.graph.settings import ExampleText
from cnnspec.graph.spec import Example
from cnnspec.language.document import Document
from cnnspec.language.fields import read_model
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers
from cnnspec.wording import format_shape, says


def read_examples(document: Document, given: Shape | None, made: Shape | None) -> tuple[Example, ...]:
    """The examples, each held to what the network is given and makes, where that is known."""
    scope, listed = document.scope, document.examples
    if listed is None:
        return ()
    if not listed.is_list:
        scope.fault("wrong-type", f"`examples` takes a list, not {says(listed.plain())}", listed.span, help=_FORM)
        return ()
    found = []
    for number, item in enumerate(listed.elements(), 1):
        if not item.is_mapping:
            scope.fault("wrong-type", f"an example is a mapping, not {says(item.plain())}", item.span, help=_FORM)
            continue
        text = read_model(ExampleText, scope, item, "example", item.span)
        if text is None:
            continue
        sizes = [
            _samples(scope, item, "input", text.input, given),
            _samples(scope, item, "output", text.output, made),
        ]
        if None not in sizes and sizes[0] != sizes[1] and text.output.shape:
            message = f"the example has {_some(sizes[0], 'input')} and {_some(sizes[1], 'output')}"
            first = Label(item.keys["input"], _some(sizes[0], "input"))
            scope.fault("example-shape", message, item.keys["output"], _some(sizes[1], "output"), first)
        found.append(Example(text.name or f"example {number}", text.input, text.output, text.tolerance, item.span))
    return tuple(found)


_FORM = "`- {input: [[0, 1], [2, 3]], output: [[6]]}`"


def _samples(scope: Scope, item: YamlNode, key: str, numbers: Numbers, shape: Shape | None) -> int | None:
    """How many samples of a shape the example's numbers are; None, and a fault, where they are none."""
    if shape is None:
        return None
    count = numbers.samples(shape)
    if count is None:
        message = f"the example's {key} is {format_shape(numbers.shape)}, and the network's is {format_shape(shape)}"
        remedy = "leading axes of size one may be left out; a batch has one axis more"
        scope.fault("example-shape", message, item.keys[key], f"{format_shape(numbers.shape)} numbers", help=remedy)
    return count


def _some(count: int | None, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"

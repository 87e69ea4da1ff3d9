"""The `examples` of a spec."""

from __future__ import annotations

from cnnspec.diagnostics import Label
from cnnspec.graph.settings import ExampleText
from cnnspec.graph.spec import Example
from cnnspec.language.document import Document
from cnnspec.language.entry import Entry
from cnnspec.language.fields import read_model
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers
from cnnspec.wording import describe, format_shape


def read_examples(document: Document, input_shape: Shape | None, output_shape: Shape | None) -> tuple[Example, ...]:
    """Return the examples; report those that do not fit the input and the output of the network, where known."""
    scope, listed = document.scope, document.examples
    if listed is None:
        return ()
    if not listed.is_list:
        scope.error("wrong-type", f"`examples` takes a list, not {describe(listed.plain())}", listed.span, help=_FORM)
        return ()
    found = []
    for number, item in enumerate(listed.elements(), 1):
        if not item.is_mapping:
            scope.error("wrong-type", f"an example is a mapping, not {describe(item.plain())}", item.span, help=_FORM)
            continue
        text = read_model(ExampleText, Entry("example", item.span, item, scope))
        if text is None:
            continue
        sizes = [
            _samples(scope, item, "input", text.input, input_shape),
            _samples(scope, item, "output", text.output, output_shape),
        ]
        if None not in sizes and sizes[0] != sizes[1] and text.output.shape:
            message = f"the example has {_count(sizes[0], 'input')} and {_count(sizes[1], 'output')}"
            first = Label(item.keys["input"], _count(sizes[0], "input"))
            scope.error("example-shape", message, item.keys["output"], _count(sizes[1], "output"), first)
        found.append(Example(text.name or f"example {number}", text.input, text.output, text.tolerance, item.span))
    return tuple(found)


_FORM = "`- {input: [[0, 1], [2, 3]], output: [[6]]}`"


def _samples(scope: Scope, item: YamlNode, key: str, numbers: Numbers, shape: Shape | None) -> int | None:
    """Return how many samples of a shape the example's numbers hold; report an error and return None where none."""
    if shape is None:
        return None
    count = numbers.samples(shape)
    if count is None:
        message = f"the example's {key} is {format_shape(numbers.shape)}, and the network's is {format_shape(shape)}"
        remedy = "leading axes of size one may be left out; a batch has one axis more"
        scope.error("example-shape", message, item.keys[key], f"{format_shape(numbers.shape)} numbers", help=remedy)
    return count


def _count(count: int | None, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"

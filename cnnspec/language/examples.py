"""The `examples` of a spec."""

from __future__ import annotations

from collections.abc import Mapping

from cnnspec.diagnostics import Label, Span
from cnnspec.graph.settings import ExampleText
from cnnspec.graph.spec import Example
from cnnspec.language.document import Document
from cnnspec.language.entry import Entry
from cnnspec.language.fields import example, read_model
from cnnspec.language.repairs import for_name
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers
from cnnspec.wording import describe, format_shape, names, quoted

Shapes = Mapping[str, Shape | None]
"""The shapes of the inputs or outputs by name, None where an error hides one."""


def read_examples(document: Document, inputs: Shapes, outputs: Shapes) -> tuple[Example, ...]:
    """Return the examples; report those that do not fit the inputs and the outputs of the network, where known."""
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
        if text is None or not _complete(scope, item):
            continue
        given = _by_name(scope, item, "input", text.input, text.inputs, inputs)
        expected = _by_name(scope, item, "output", text.output, text.outputs, outputs)
        if given is None or expected is None:
            continue
        _check_samples(scope, item, (given, inputs), (expected, outputs))
        found.append(Example(text.name or f"example {number}", given, expected, text.tolerance, item.span))
    return tuple(found)


_FORM = "`- {input: [[0, 1], [2, 3]], output: [[6]]}`"


def _complete(scope: Scope, item: YamlNode) -> bool:
    """Report an example without inputs or outputs, or with both forms of one."""
    missing = []
    for key in ("input", "output"):
        there = [name for name in (key, f"{key}s") if (node := item.get(name)) is not None and node.value is not None]
        if not there:
            missing.append(key)
        elif len(there) == 2:
            where, remedy = Label(item.keys[key], "gives one"), "leave one of the two out"
            message = f"`{key}s` stands beside `{key}`"
            scope.error("not-allowed-here", message, item.keys[f"{key}s"], "", where, help=remedy)
            return False
    if missing:
        remedy = example("example", missing, item)
        scope.error("missing-key", f"`example` needs {names(missing)}", item.span, help=remedy)
    return not missing


def _by_name(
    scope: Scope, item: YamlNode, key: str, one: Numbers | None, several: Mapping[str, Numbers] | None, shapes: Shapes
) -> dict[str, Numbers] | None:
    """Return the numbers by the names of the inputs or outputs; report what is missing or unknown and return None."""
    if not shapes:  # none is declared, which is reported
        return None
    if one is not None:
        if len(shapes) == 1:
            return dict.fromkeys(shapes, one)
        message = f"the network has the {key}s {names(list(shapes))}, and `{key}` gives one"
        remedy = f"`{key}s: {{{', '.join(f'{name}: …' for name in shapes)}}}`"
        scope.error("example-shape", message, item.keys[key], help=remedy)
        return None
    given = several or {}
    unknown = [name for name in given if name not in shapes]
    for name in unknown:
        place = item.key_at((f"{key}s", name))
        near, fixes = for_name(name, place, shapes)
        remedy = f"did you mean `{near}`?" if near else f"the {key}s are {names(list(shapes))}"
        message = f"the network has no {key} {quoted(name)}"
        scope.error("example-shape", message, place, help=remedy, fixes=fixes)
    # What an example says nothing of is not compared; every input is needed.
    missing = [name for name in shapes if name not in given] if key == "input" or not given else []
    if missing and not unknown:
        message = f"the example gives no {key} {names(missing)}"
        scope.error("example-shape", message, item.keys[f"{key}s"], help=f"add `{missing[0]}: …`")
    return None if missing or unknown else {name: given[name] for name in shapes if name in given}


def _check_samples(scope: Scope, item: YamlNode, *sides: tuple[Mapping[str, Numbers], Shapes]) -> None:
    """Report numbers that do not have the shape of their input or output, and batches of different sizes."""
    counted: list[tuple[int, str, Span]] = []
    for key, (numbers, shapes) in zip(("input", "output"), sides, strict=True):
        before = len(counted)
        for name, value in numbers.items():
            path, what = ((key,), key) if key in item.keys else ((f"{key}s", name), f"{key} `{name}`")
            count = _samples(scope, item, path, what, value, shapes[name])
            if count is None:
                return
            # A single number fills as many samples as the others have.
            if value.shape or (key == "input" and name == list(numbers)[-1] and len(counted) == before):
                counted.append((count, what, item.key_at(path)))
    if not counted:
        return
    (size, first, place), *others = counted
    for count, what, span in others:
        if count != size:
            message = f"the example has {_count(size, first)} and {_count(count, what)}"
            scope.error("example-shape", message, span, _count(count, what), Label(place, _count(size, first)))


def _samples(
    scope: Scope, item: YamlNode, path: tuple[str, ...], what: str, numbers: Numbers, shape: Shape | None
) -> int | None:
    """Return how many samples of a shape the example's numbers hold; report an error and return None where none."""
    if shape is None:
        return None
    count = numbers.samples(shape)
    if count is None:
        message = f"the example's {what} is {format_shape(numbers.shape)}, and the network's is {format_shape(shape)}"
        remedy = "leading axes of size one may be left out; a batch has one axis more"
        scope.error("example-shape", message, item.key_at(path), f"{format_shape(numbers.shape)} numbers", help=remedy)
    return count


def _count(count: int, what: str) -> str:
    noun, _, name = what.partition(" ")
    return f"{count} {noun}{'s' * (count != 1)}{' ' + name if name else ''}"

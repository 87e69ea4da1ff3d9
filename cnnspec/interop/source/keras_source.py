"""A network as a file of Keras code, as a person would write it: functions of tensors, and a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cnnspec.errors import ExportError
from cnnspec.graph.costs import trainable
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.interop.naming import free
from cnnspec.interop.source.classes import BlockClass, BlockCode, with_names
from cnnspec.interop.source.file import helper_code, listed, signature
from cnnspec.interop.source.keras_blocks import Functions, function_names, local_names
from cnnspec.interop.source.keras_helpers import HELPERS
from cnnspec.interop.source.keras_layers import obstacle
from cnnspec.interop.source.keras_step import last
from cnnspec.interop.source.names import TAKEN, identifier
from cnnspec.interop.source.parameters import Parameter, local_variables
from cnnspec.interop.source.text import INDENT, Resolved, literal, render, spaced, wrapped
from cnnspec.layers.input import INPUT
from cnnspec.version import __version__
from cnnspec.weights.keras_layouts import keras_name
from cnnspec.wording import format_shape

WEIGHTS = ".weights.h5"


def keras_source(spec: Spec, weights: str = "") -> str:
    """Return the network as Python source of Keras 3: a function that makes the model, and one for each kind of block.

    Data is channels last, whatever the order in the spec. `weights` is the file that the docstring loads, by default
    that of the spec's name. Needs no Keras. Raises ExportError where a layer cannot be written.
    """
    graph = spec.graph
    if obstacles := [found for node in graph.nodes if node.kind != INPUT and (found := obstacle(node))]:
        raise ExportError("; ".join(obstacles))
    _check_names(graph)
    functions = Functions(graph)
    network = model_name(spec)
    names = function_names(functions.functions, functions.network, {network, *HELPERS, *TAKEN})
    written = [_function(found, names) for found in functions.functions]
    written.append(_model(spec, network, functions.network, names))
    body = "\n\n\n".join("\n".join(lines) for lines in written)
    code = helper_code(body, HELPERS) + body
    return "\n".join([*_head(spec, network, weights or f"{spec.name}{WEIGHTS}"), *_imports(code), "", "", code, ""])


def model_name(spec: Spec) -> str:
    """Return the name of the function that makes the model."""
    return free(identifier(spec.name), {*HELPERS, *TAKEN})


def _check_names(graph: Graph) -> None:
    """Raise ExportError where two layers would have one name in Keras."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        other = found.setdefault(keras_name(node.name), node.name)
        if other != node.name:
            raise ExportError(
                f"`{other}` and `{node.name}` would both be called `{keras_name(node.name)}` in Keras: rename one"
            )


def _head(spec: Spec, network: str, weights: str) -> list[str]:
    graph = spec.graph
    inputs = " and ".join(format_shape(last(graph.by_name[name].shape)) for name in graph.inputs)
    return [
        f'"""{spec.name}: {inputs}, {trainable(graph.nodes):,} parameters. Written by cnnspec {__version__}.',
        "",
        "Data is channels last; layers have the names of the spec, with underscores for dots:",
        "",
        f"    model = {network}()",
        f'    model.load_weights("{weights}")',
        '"""',
        "",
    ]


def _imports(code: str) -> Iterator[str]:
    standard = [f"import {name}" for name in ("itertools", "math") if f"{name}." in code]
    standard += ["from collections.abc import Callable"] if "Callable[" in code else []
    standard += ["from fractions import Fraction"] if "Fraction(" in code else []
    standard += ["from typing import Any"] if re.search(r"\bAny\b", code) else []
    if standard:
        yield from [*standard, ""]
    used = ["KerasTensor"] if "KerasTensor" in code else []
    used += [name for name in ("layers", "ops") if re.search(rf"\b{name}\.", code)]
    yield "import keras"
    if used:
        yield f"from keras import {', '.join(used)}"


# Functions


def _function(found: BlockClass, names: Mapping[str, str]) -> list[str]:
    """Return the function of a block."""
    code = found.example
    assert code.body is not None
    parameters = [p.declaration for p in found.parameters if p.default is None]
    defaults = [p.declaration for p in found.parameters if p.default is not None]
    tensors = [f"{name}: KerasTensor" for name in code.body.inputs]
    declared = ", ".join([*tensors, *parameters, "name: str", *defaults])
    lines = wrapped(f"def {names[found.token]}({declared})", 0, " -> KerasTensor:")
    lines.append(f'{INDENT}"""{found.about}"""')
    statements, result = _statements(code, found.parameters, found.resolved, names)
    return [*lines, *statements, *wrapped(f"return {result}", 1)]


def _model(spec: Spec, network: str, code: BlockCode, names: Mapping[str, str]) -> list[str]:
    """Return the function that makes the model."""
    graph = spec.graph
    assert code.body is not None
    resolved = [Resolved(literal(slot.value), slot.value) for slot in code.slots]
    statements, result = _statements(code, [], resolved, names)
    lines = [f"def {network}() -> keras.Model:", f'{INDENT}"""{signature(graph, lambda shape: listed(last(shape)))}"""']
    for name, variable in zip(graph.inputs, code.body.inputs, strict=True):
        shape = literal(last(graph.by_name[name].shape))
        lines += wrapped(f'{variable} = keras.Input({shape}, name="{keras_name(name)}")', 1)
    lines += statements
    (inputs, *_) = code.body.inputs
    if len(graph.inputs) > 1:
        pairs = zip(graph.inputs, code.body.inputs, strict=True)
        inputs = ", ".join(f'"{keras_name(name)}": {variable}' for name, variable in pairs)
        inputs = f"{{{inputs}}}"
    if len(graph.outputs) == 1 and not result.isidentifier():
        lines += wrapped(f"outputs = {result}", 1)
        result = "outputs"
    return [*lines, *wrapped(f'return keras.Model({inputs}, {result}, name="{keras_name(network)}")', 1)]


def _statements(
    code: BlockCode, parameters: Sequence[Parameter], resolved: Sequence[Resolved], names: Mapping[str, str]
) -> tuple[list[str], str]:
    """Return the lines of the statements of a function, and the code of its result."""
    assert code.body is not None
    assignments, found = local_variables(code.slots, parameters, resolved, {*local_names(code), *TAKEN})
    numbers = iter(found)
    lines = [f"{INDENT}{line}" for line in assignments]
    for statement in code.body.statements:
        run, indent = statement.run, 1
        count = next(numbers) if run else None
        line = spaced(f"{statement.target} = {render(statement.text, numbers)}")
        if run and count and run.count == 1 and count.value == run.slot.value:
            line = re.sub(r'f("[^{}"]*")', r"\1", line.replace("{i}", str(run.first)))
        elif run and count:
            lines.append(f"{INDENT}for i in {run.range(count)}:")
            indent = 2
        lines += wrapped(with_names(line, names), indent)
    return lines, with_names(spaced(render(code.body.result, numbers)), names)

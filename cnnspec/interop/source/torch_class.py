"""One class of a PyTorch file: its constructor and its `forward`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cnnspec.interop.source.classes import BlockCode, with_names
from cnnspec.interop.source.forward import Run
from cnnspec.interop.source.names import TAKEN, is_attribute
from cnnspec.interop.source.parameters import Parameter, local_variables
from cnnspec.interop.source.pieces import factored
from cnnspec.interop.source.text import INDENT, Resolved, render, spaced, wrapped


def class_lines(
    name: str,
    about: str,
    code: BlockCode,
    parameters: list[Parameter],
    resolved: list[Resolved],
    names: Mapping[str, str],
    result: str,
) -> list[str]:
    """Return the lines of one class.

    `resolved` is what stands in its slots, `names` has the classes of other blocks by token, and `result` is the type
    of what it returns. Functions that repeat in a long `forward` stand before it.
    """
    own = [slot for attribute in code.attributes for slot in attribute.slots]
    locals_, resolved_init = local_variables(own, parameters, resolved)
    numbers = iter(resolved_init)
    signature = "".join(f", {parameter.declaration}" for parameter in parameters)
    made: list[str] = []
    for attribute in code.attributes:
        indent, run = 2, attribute.run
        if run:
            count = next(numbers)
            if count.value == run.slot.value and run.count == 1:
                run = None
            else:
                made.append(f"{INDENT * 2}for i in {run.range(count)}:")
                indent = 3
        text = render(attribute.text, numbers)
        made += wrapped(with_names(_assignment(attribute.path, text, run), names), indent)
    statements, stored = _forward(code, parameters, iter(resolved[len(resolved_init) :]))
    base = "nn.Module" if code.body else "nn.Sequential"
    lines = [f"class {name}({base}):", f'{INDENT}"""{about}"""', ""]
    init = [f"{INDENT * 2}super().__init__()", *(f"{INDENT * 2}self.{name} = {name}" for name in stored)]
    init += [*(f"{INDENT * 2}{line}" for line in locals_), *made]
    if len(init) > 1:
        lines += [*wrapped(f"def __init__(self{signature})", 1, " -> None:"), *init]
    if code.body is None:
        return lines
    variables = {*code.body.inputs, *(statement.target for statement in code.body.statements)}
    pieces, statements = factored(statements, variables, "block", {*names.values(), name, *TAKEN})
    arguments = ", ".join(f"{argument}: Tensor" for argument in code.body.inputs)
    lines += [*([""] if len(init) > 1 else []), *wrapped(f"def forward(self, {arguments})", 1, f" -> {result}:")]
    for statement in statements:
        lines += wrapped(statement.lstrip(), 3 if statement.startswith(INDENT) else 2)
    return [*(line for piece in pieces for line in [*piece, "", ""]), *lines]


def _assignment(path: str, text: str, run: Run | None) -> str:
    if run:
        return f'self.add_module(f"{run.stem}{{i}}", {text})'
    if is_attribute(path):
        return f"self.{path} = {text}"
    return f'self._modules["{path}"] = {text}'


def _forward(code: BlockCode, parameters: list[Parameter], numbers: Iterator[Resolved]) -> tuple[list[str], list[str]]:
    """Return the statements of `forward`, and the parameters that it reads."""
    if code.body is None:
        return [], []
    stored: dict[str, None] = {}

    def of_self(found: Resolved) -> Resolved:
        for parameter in parameters:
            if re.search(rf"\b{parameter.name}\b", found.code):
                stored[parameter.name] = None
        own = re.sub(r"\b(" + "|".join(stored) + r")\b", r"self.\1", found.code) if stored else found.code
        return Resolved(own, found.value)

    own = map(of_self, numbers)
    statements = []
    for statement in code.body.statements:
        margin = ""
        if statement.run:
            statements.append(f"for i in {statement.run.range(next(own))}:")
            margin = INDENT
        statements.append(margin + spaced(f"{statement.target} = {render(statement.text, own)}"))
    return [*statements, spaced(f"return {render(code.body.result, own)}")], list(stored)

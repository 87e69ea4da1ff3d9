"""A PyTorch module as the graph of its operations, without effects on its tensors, by `torch.export`."""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnspec.errors import ImportingError
from cnnspec.interop.importer.conversion import FREE_BATCH


@dataclass(frozen=True)
class Exported:
    """The operations of a module in their order, and what they read."""

    nodes: Sequence[Any]
    """The nodes of the graph (`torch.fx.Node`) whose operations are functions of tensors."""
    parameters: dict[str, tuple[str, Any]]
    """The path in the module and the tensor of each parameter and buffer, by the name of its node."""
    constants: dict[str, Any]
    """Tensors that the module makes itself, by the names of their nodes."""
    inputs: list[str]
    """The names of the nodes that stand for the inputs, in the order of the arguments."""
    outputs: dict[str, str]
    """The names of the nodes that are handed out, by the names of the outputs."""


@contextmanager
def for_inference(module: Any) -> Iterator[None]:
    """Put a module and its parts in evaluation mode, and each in its own mode again at the end."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def exported(module: Any, shapes: Sequence[Sequence[int]], dtypes: Sequence[Any], source: str) -> Exported:
    """Return the graph of a module in evaluation mode for inputs [n, *shape] of these shapes and data types.

    The batch is free: it is traced with a size that no axis has, on tensors without data. Raises ImportingError where
    the module cannot be traced, such as one whose flow depends on numbers.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    devices = {tensor.device for tensor in [*module.parameters(), *module.buffers()]} or {torch.device("cpu")}
    with _plainly(), for_inference(module), torch.no_grad():
        with FakeTensorMode(allow_non_fake_inputs=True):
            args = tuple(
                torch.empty(FREE_BATCH, *shape, dtype=dtype, device=min(devices, key=str))
                for shape, dtype in zip(shapes, dtypes, strict=True)
            )
        try:
            program = torch.export.export(module, args, strict=False).run_decompositions({})
        except Exception as error:  # whatever the code of the module raises
            raise ImportingError(_failed(error, source, shapes)) from error
    signature = program.graph_signature
    state: dict[str, Any] = {**program.state_dict, **program.constants}
    targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants = {
        spec.arg.name: state[spec.target]
        for spec in signature.input_specs
        if spec.target in program.constants and spec.arg.name not in targets
    }
    return Exported(
        [node for node in program.graph.nodes if node.op == "call_function"],
        {name: (path, state[path]) for name, path in targets.items()},
        constants,
        [str(name) for name in signature.user_inputs],
        _outputs(program, source),
    )


@contextmanager
def _plainly() -> Iterator[None]:
    """Trace attention as its products, and keep warnings and log messages back: what fails is an error."""
    import torch

    disabled = logging.root.manager.disable
    fused = torch.backends.mha.get_fastpath_enabled()
    logging.disable(logging.CRITICAL)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        torch.backends.mha.set_fastpath_enabled(fused)


def _outputs(program: Any, source: str) -> dict[str, str]:
    """Return the nodes that are outputs by name: the keys of a dict, or `output1`, `output2`, …"""
    from torch.utils._pytree import keystr, tree_flatten_with_path, tree_unflatten

    names = list(program.graph_signature.user_outputs)
    paths, _ = tree_flatten_with_path(tree_unflatten(list(range(len(names))), program.call_spec.out_spec))
    found: dict[str, str] = {}
    for path, i in paths:
        if not isinstance(names[i], str):
            continue  # a number or None
        key = re.sub(r"\W+", "_", keystr(path)).strip("_")
        if len(paths) == 1:
            key = "output"
        elif key.isdigit() or not key:
            key = f"output{i + 1}"
        found[key] = names[i]
    if not found:
        raise ImportingError(f"`{source}` returns no tensor")
    return found


def _failed(error: Exception, source: str, shapes: Sequence[Sequence[int]]) -> str:
    given = " and ".join("[n, " + ", ".join(map(str, shape)) + "]" for shape in shapes)
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if "DataDependent" in type(error).__name__:
        reason = "its flow depends on numbers that are computed, which a spec cannot say"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    place = f" ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    reason = reason.replace(str(FREE_BATCH), "n")
    return f"`{source}` cannot be traced for {given}: {reason}{place}"


def _is_ours(filename: str) -> bool:
    """Whether a line of code is PyTorch's or this package's, and not the module's."""
    parts = Path(filename).parts
    return "torch" in parts or "cnnspec" in parts or filename.startswith("<")

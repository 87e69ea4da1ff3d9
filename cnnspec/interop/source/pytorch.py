"""A network as a file of PyTorch code, as a person would write it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec.arrays import Arrays
from cnnspec.errors import ExportError
from cnnspec.graph.costs import trainable
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import BATCHES
from cnnspec.interop.exported import Exported, write_file
from cnnspec.interop.requirements import is_installed
from cnnspec.interop.source import classes
from cnnspec.interop.source.blocks import Blocks
from cnnspec.interop.source.classes import BlockClass
from cnnspec.interop.source.file import helper_code, listed, signature
from cnnspec.interop.source.names import TAKEN, class_name
from cnnspec.interop.source.text import Resolved, literal
from cnnspec.interop.source.torch_class import class_lines
from cnnspec.interop.source.torch_helpers import HELPERS
from cnnspec.interop.source.torch_layers import missing
from cnnspec.interop.source.verification import compared
from cnnspec.layers.input import INPUT
from cnnspec.runtime.build import Weights, weights_of
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.options import Execution
from cnnspec.version import __version__
from cnnspec.weights import files as weight_files
from cnnspec.wording import format_shape


def torch_source(spec: Spec, weights: str = "") -> str:
    """Return the network as Python source of PyTorch: a class named after it, and one for each kind of block.

    `weights` is the file that the docstring loads, by default that of the spec's name. The `state_dict` of the class
    has the names of the spec's arrays. Needs no torch. Raises ExportError where a layer cannot be written.
    """
    graph = spec.graph
    if absent := missing(node.kind for node in graph.nodes if node.kind != INPUT):
        nodes = [f"`{node.name}` ({node.kind})" for node in graph.nodes if node.kind in absent]
        raise ExportError(f"there is no PyTorch code for {', '.join(nodes)}")
    blocks = Blocks(graph)
    network = class_name(spec.name)
    names = classes.names(blocks.classes, {network, *HELPERS, *TAKEN})
    resolved = [Resolved(literal(slot.value), slot.value) for slot in blocks.network.slots]
    written = [_class(found, names) for found in blocks.classes]
    about = signature(graph, listed)
    written.append(class_lines(network, about, blocks.network, [], resolved, names, typed_result(spec)))
    body = "\n\n\n".join("\n".join(lines) for lines in written)
    return "\n".join(
        [
            *_head(spec, network, weights or f"{spec.name}.safetensors"),
            *_imports(helper_code(body, HELPERS) + body),
            "",
            "",
            helper_code(body, HELPERS) + body,
            "",
        ]
    )


def write_source(
    spec: Spec, path: Path, execution: Execution, weights: Weights = None, verify: bool = True
) -> Exported:
    """Write the source, and the weights in a safetensors file beside it where some are given.

    Where PyTorch is installed, the source is run with these weights and compared with NumPy. Raises ExportError where
    the network cannot be written, or where PyTorch computes something else.
    """
    beside = path.with_suffix(".safetensors")
    source = torch_source(spec, beside.name if weights else "")
    details = {"lines": source.count("\n")}
    if weights is None:
        write_file(path, source.encode())
        return Exported(spec.name, "torch", (path,), details)
    arrays = weights_of(spec.graph, weights, execution.seed)
    engine, found = None, None
    if verify and is_installed("torch"):
        check_memory(spec.graph, max(BATCHES), 4, execution.memory_limit)
        module = torch_module(spec, arrays, source)
        engine = f"torch {version('torch')}"
        names = spec.graph.output_names
        found = compared(spec.graph, arrays, execution, lambda x: _outputs(module, x, names), "PyTorch")
    write_file(path, source.encode())
    weight_files.write(beside, arrays)
    return Exported(spec.name, "torch", (path, beside), details, engine, found)


def torch_module(spec: Spec, arrays: Arrays, source: str = "") -> Any:
    """Return the network as a module of its source with these arrays, in float32 and in evaluation mode."""
    import torch

    names: dict[str, Any] = {}
    exec(compile(source or torch_source(spec), f"{spec.name}.py", "exec"), names)
    module = names[class_name(spec.name)]()
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
    counters = {name: value for name, value in module.state_dict().items() if name.endswith("num_batches_tracked")}
    module.load_state_dict(state | counters)
    return module.eval()


def _outputs(module: Any, inputs: Arrays, names: Sequence[str]) -> Arrays:
    import torch

    with torch.no_grad():
        found = module(*(torch.from_numpy(x.astype(np.float32)) for x in inputs.values()))
    outputs = found if len(names) > 1 else {names[0]: found}
    return {name: outputs[name].numpy() for name in names}


def typed_result(spec: Spec) -> str:
    """Return the type of what the network returns."""
    return "dict[str, Tensor]" if len(spec.graph.outputs) > 1 else "Tensor"


def _head(spec: Spec, network: str, weights: str) -> list[str]:
    graph = spec.graph
    inputs = " and ".join(format_shape(graph.by_name[name].shape) for name in graph.inputs)
    return [
        f'"""{spec.name}: {inputs}, {trainable(graph.nodes):,} parameters. Written by cnnspec {__version__}.',
        "",
        "The names in the state_dict are those of the spec:",
        "",
        f"    model = {network}()",
        f'    model.load_state_dict(safetensors.torch.load_file("{weights}"))',
        '"""',
        "",
    ]


def _imports(code: str) -> Iterator[str]:
    standard = []
    if "math." in code:
        standard.append("import math")
    if "OrderedDict(" in code:
        standard.append("from collections import OrderedDict")
    if "Fraction(" in code:
        standard.append("from fractions import Fraction")
    if standard:
        yield from standard
        yield ""
    if re.search(r"\btorch\.", code):
        yield "import torch"
    if re.search(r"\bF\.", code):
        yield "import torch.nn.functional as F"
    yield "from torch import Tensor, nn"


def _class(found: BlockClass, names: Mapping[str, str]) -> list[str]:
    return class_lines(
        names[found.token], found.about, found.example, found.parameters, found.resolved, names, "Tensor"
    )

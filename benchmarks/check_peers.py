"""`cnnspec check` beside other ways to know every shape of a network.

    python benchmarks/check_peers.py [--rounds 7] [--specs lenet resnet50 ...]

Warm, in one process, in turn within each round: the check of a spec from its text, with its costs;
`onnx.shape_inference` over the exported file, and over the graph in memory with its weights taken out; building the
modules that one would write by hand on PyTorch's meta device and running them there; `torchinfo.summary` of them on the
CPU. Cold: `cnnspec check` of a spec as a process beside `ruff check` of a Python file with as many lines. What is not
installed is said and left out.
"""

from __future__ import annotations

import argparse
import argparse as longest_module
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cnnspec
from cnnspec.graph.costs import summarize
from cnnspec.graph.graph import Graph
from cnnspec.weights.initial import initial

SPECS = ("lenet", "vgg16", "resnet18", "resnet50", "mobilenet_v2", "googlenet", "densenet121")
PEERS = ("onnx file", "onnx graph", "meta", "torchinfo")
Work = Callable[[], object]


def check(name: str) -> None:
    report = cnnspec.check(name)
    assert report.spec is not None
    summarize(report.spec.graph)


def of_file(file: Path) -> Work:
    from onnx import load, shape_inference

    return lambda: shape_inference.infer_shapes(load(file), strict_mode=True)


def without_weights(file: Path) -> Work:
    import onnx
    from onnx import numpy_helper, shape_inference

    model = onnx.load(file)
    small = []
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.size <= 64 and array.ndim <= 1 and array.dtype.kind == "i":
            small.append(weight)  # a shape or an axis, whose value inference reads
        else:
            element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            model.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, element, array.shape))
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    del model.graph.value_info[:]
    inferred = shape_inference.infer_shapes(model, strict_mode=True)
    assert len(inferred.graph.value_info) >= len(model.graph.node) - len(model.graph.output)
    return lambda: shape_inference.infer_shapes(model, strict_mode=True)


def on_meta(graph: Graph) -> Any:
    """Build the modules without data and run them: nothing is computed but shapes."""
    import torch

    from cnnspec.bench.torch_modules import to_modules

    with torch.device("meta"), torch.no_grad(), warnings.catch_warnings(action="ignore"):
        arrays: dict[str, Any] = {name: torch.empty(p.shape) for name, p in graph.parameters.items()}
        return to_modules(graph, arrays).eval()(torch.empty(1, *graph.input.shape))


def peers(name: str, folder: str) -> dict[str, Work]:
    graph = cnnspec.load(name).graph
    found: dict[str, Work] = {"check": lambda: check(name)}
    if find_spec("onnx"):
        file = Path(folder, f"{name}.onnx")
        cnnspec.export_onnx(name, file)
        found |= {"onnx file": of_file(file), "onnx graph": without_weights(file)}
    if find_spec("torch"):
        assert tuple(on_meta(graph).shape[1:]) == graph.output.shape
        found["meta"] = lambda: on_meta(graph)
    if find_spec("torch") and find_spec("torchinfo"):
        import torch
        import torchinfo

        from cnnspec.bench.torch_modules import to_modules

        arrays = initial(graph, seed=0)
        module, x = to_modules(graph, arrays).eval(), torch.zeros(1, *graph.input.shape)
        found["torchinfo"] = lambda: torchinfo.summary(module, input_data=x, verbose=0, device="cpu")
    return found


def measured(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            gc.collect()
            start = time.perf_counter()
            work()
            times[key].append(time.perf_counter() - start)
    return times


def warm(specs: list[str], rounds: int) -> None:
    missing = [name for name in ("onnx", "torch", "torchinfo") if find_spec(name) is None]
    if missing:
        print(f"left out, not installed: {', '.join(missing)}")
    print(f"{'warm, ms (ratio to check)':<26}{'check':>8}" + "".join(f"{peer:>16}" for peer in PEERS))
    for name in specs:
        with tempfile.TemporaryDirectory() as folder:
            times = measured(peers(name, folder), rounds)
        cells = []
        for key in PEERS:
            if key in times:
                ratio = statistics.median(a / b for a, b in zip(times[key], times["check"], strict=True))
                cells.append(f"{statistics.median(times[key]) * 1e3:.1f} ({ratio:.1f})")
            else:
                cells.append("-")
        print(f"{name:<26}{statistics.median(times['check']) * 1e3:>8.1f}" + "".join(f"{cell:>16}" for cell in cells))


def cold(rounds: int) -> None:
    print(f"\n{'cold, ms':<12}{'cnnspec check':>15}{'ruff check':>12}{'python -c pass':>16}{'check / ruff':>14}")
    source = Path(longest_module.__file__).read_text(encoding="utf-8").splitlines()
    unit = "  - conv: {channels: 16, kernel: 3, padding: same, bias: false}\n  - batch_norm\n  - relu\n"
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        for lines in (50, 500, 2000):
            spec, module = Path(folder, f"{lines}.yaml"), Path(folder, f"m{lines}.py")
            spec.write_text("input: [16, 32, 32]\nlayers:\n" + unit * ((lines - 2) // 3), encoding="utf-8")
            module.write_text("\n".join(source[:lines]) + "\n", encoding="utf-8")
            commands = {
                "check": [sys.executable, "-m", "cnnspec", "check", "--quiet", str(spec)],
                "ruff": [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero", str(module)],
                "python": [sys.executable, "-c", "pass"],
            }
            if find_spec("ruff") is None:
                del commands["ruff"]
            times: dict[str, list[float]] = {key: [] for key in commands}
            for turn in range(rounds + 1):
                for key, command in commands.items():
                    start = time.perf_counter()
                    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment)
                    if turn:  # the first run writes the bytecode
                        times[key].append(time.perf_counter() - start)
            median = {key: statistics.median(found) * 1e3 for key, found in times.items()}
            ruff = f"{median['ruff']:.0f}" if "ruff" in median else "-"
            ratio = f"{median['check'] / median['ruff']:.1f}" if "ruff" in median else "-"
            label = f"{lines} lines"
            print(f"{label:<12}{median['check']:>15.0f}{ruff:>12}{median['python']:>16.0f}{ratio:>14}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--specs", nargs="*", default=list(SPECS))
    arguments = parser.parse_args()
    warm(arguments.specs, arguments.rounds)
    cold(arguments.rounds)


if __name__ == "__main__":
    main()

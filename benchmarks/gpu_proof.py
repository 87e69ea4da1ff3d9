"""That CUDA computes what the definitions say: the conformance table, the bundled specs, and the tests that need it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gpu_section import Section, Settings

import cnnspec
from cnnspec import bundled
from cnnspec.arrays import Array
from cnnspec.data.inputs import random_inputs
from cnnspec.errors import CnnspecError
from cnnspec.graph.spec import Spec
from cnnspec.testing import CASES, check_backend
from cnnspec.testing.verification import verify

ROOT = Path(__file__).resolve().parent.parent
SMALL = 64
"""The size that larger images are reduced to, where the network takes that."""
DRY = ("lenet", "resnet20")
ROUNDOFF = {"TF32": 2.0**-11, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""The unit roundoff: half the distance from 1 to the next number of the format."""


@dataclass(frozen=True)
class Form:
    """A way to compute, beside NumPy in float64."""

    name: str
    dtype: str
    options: dict[str, Any] = field(default_factory=dict)


FORMS = (
    Form("float32", "float32"),
    Form("TF32", "float32", {"tf32": True}),
    Form("bfloat16", "bfloat16"),
    Form("float16", "float16"),
)


def sections(settings: Settings) -> list[Section]:
    """Return the sections of this part."""
    return [conformance(settings), *zoo(settings), tests(settings)]


def conformance(settings: Settings) -> Section:
    """Every layer beside its definition: values, gradients, a training step, loading and saving."""
    dtypes = ("float64", "float32")
    failures = check_backend("torch", dtypes=dtypes, device=settings.device)
    rows = [{"cases": str(len(CASES)), "data types": ", ".join(dtypes), "differences": str(len(failures))}]
    return Section("Conformance with the definitions", rows, faults=[str(failure) for failure in failures])


def zoo(settings: Settings) -> list[Section]:
    """The bundled specs, layer by layer beside NumPy, and the error of their outputs in each format."""
    agreement = Section("Bundled specs beside NumPy, largest relative difference of any layer or gradient")
    errors = Section("Outputs beside NumPy in float64, ‖y − y₆₄‖ / ‖y₆₄‖")
    names = list(bundled.names()) if settings.is_cuda else list(DRY)
    left = []
    for name in names:
        if settings.is_over:
            left.append(name)
            continue
        spec = reduced(name)
        row = {"spec": name, "input": "×".join(map(str, spec.graph.input.shape))}
        for found in verify(spec, ["numpy", "torch"], device=settings.device, memory_limit=sys.maxsize):
            if found.backend != "torch":
                continue
            row[found.dtype] = f"{max(layer.worst() for layer in found.layers):.1e}"
            if found.first_mismatch is not None:
                agreement.faults.append(f"{name}, {found.dtype}: differs first at `{found.first_mismatch}`")
        agreement.rows.append(row)
        errors.rows.append({"spec": name} | output_errors(spec, settings, errors.faults))
    if left:
        agreement.notes.append(f"left out for want of time: {', '.join(left)}")
    errors.notes.append("a bound is 3 roundings for each product on the longest way (docs/training.md)")
    return [agreement, errors]


def reduced(name: str) -> Spec:
    """Return a bundled spec with small images, where it takes them."""
    spec = cnnspec.load(name)
    shape = spec.graph.input.shape
    if len(shape) != 3 or shape[-1] <= SMALL or len(spec.graph.inputs) > 1:
        return spec
    try:
        return cnnspec.load(name, input_shape=(shape[0], SMALL, SMALL))
    except CnnspecError:
        return spec


def output_errors(spec: Spec, settings: Settings, faults: list[str]) -> dict[str, str]:
    """Return the error of the output in each format, and add those beyond their bound to the faults."""
    x = random_inputs(spec.graph, 2, 0)
    exact = outputs(cnnspec.build(spec, "numpy", dtype="float64", memory_limit=sys.maxsize).run(x))
    row = {}
    products = longest_way(spec)
    for form in FORMS:
        model = cnnspec.build(
            spec, "torch", device=settings.device, dtype=form.dtype, memory_limit=sys.maxsize, **form.options
        )
        error = float(np.linalg.norm(outputs(model.run(x)) - exact) / np.linalg.norm(exact))
        row[form.name] = f"{error:.1e}"
        bound = 3 * products * ROUNDOFF[form.name] if form.name in ROUNDOFF else 1e-3
        if not error <= bound:
            faults.append(f"{spec.name}, {form.name}: the error {error:.1e} is beyond {bound:.1e}")
    return row | {"products": str(products)}


def outputs(by_name: dict[str, Array]) -> Array:
    """Return the numbers of all outputs."""
    return np.concatenate([y.astype(np.float64).ravel() for y in by_name.values()])


def longest_way(spec: Spec) -> int:
    """Return the most layers with multiply-accumulates on a way from an input to an output."""
    depth: dict[str, int] = {}
    for node in spec.graph.nodes:
        has_products = bool(node.inputs) and node.layer.macs(node.in_shapes, node.shape) > 0
        depth[node.name] = max((depth[name] for name in node.inputs), default=0) + has_products
    return max(1, *(depth[name] for name in spec.graph.outputs))


def tests(settings: Settings) -> Section:
    """The project's tests that are marked `gpu`."""
    section = Section("Tests that need a GPU")
    if not (ROOT / "tests").is_dir():
        section.notes.append("left out: the tests are not here")
        return section
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/backends"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (found.stdout.strip() or found.stderr.strip()).splitlines()[-1]
    section.notes.append(f"`pytest -m gpu`: {last}")
    if found.returncode:
        section.faults.append(f"`pytest -m gpu` ends with status {found.returncode}: {last}")
    return section

"""The memory of a training step as `cnnspec check` predicts it, beside what CUDA allocates at the peak."""

from __future__ import annotations

import gc
import sys

import numpy as np
import torch
import training_memory
from gpu_section import Section, Settings

from cnnspec import bundled
from cnnspec.data.inputs import random_inputs
from cnnspec.errors import InputError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.runtime.build import prepare
from cnnspec.runtime.options import Execution
from cnnspec.sizes import size_of
from cnnspec.weights.initial import initial

DRY = ("lenet", "resnet20")
ROOM = 0.8
"""The part of the device's memory that a measured step may take."""


def sections(settings: Settings) -> list[Section]:
    """Return the sections of this part."""
    section = Section("Memory of a training step")
    specs = [name for name in bundled.names() if "/" not in name] if settings.is_cuda else list(DRY)
    room = ROOM * torch.cuda.get_device_properties(0).total_memory if settings.is_cuda else 0
    close = 0
    for spec, train, row in training_memory.predictions(specs, (1, 32), ("float32", "bfloat16"), ("adam",)):
        if settings.is_over:
            section.notes.append(f"from {row.spec} on left out for want of time")
            break
        cells = {"spec": row.spec, "batch": str(row.batch), "format": row.dtype, "predicted": size_of(row.predicted)}
        if settings.is_cuda and row.predicted < room:
            try:
                row = row._replace(measured=allocated(spec, train, row.batch, row.dtype))
            except InputError as error:  # one number for each channel, which batch normalization refuses
                section.notes.append(f"{row.spec} with a batch of {row.batch} is left out: {error}")
                continue
            close += row.is_close
            cells |= {"allocated": size_of(row.measured), "ratio": f"{row.ratio:.3f}"}
        section.rows.append(cells)
    if settings.is_cuda:
        section.notes.append(f"{close} of {len(section.rows)} predictions are within {training_memory.TOLERANCE:.0%}")
    else:
        section.notes.append("what is allocated needs a GPU")
    return [section]


def allocated(spec: Spec, train: Train, batch: int, dtype: str) -> int:
    """Return the bytes that the device's tensors take at the peak of a step, libraries' workspaces included."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    graph = spec.trained_graph
    model = prepare(graph, Execution("torch", "cuda", dtype, memory_limit=sys.maxsize), initial(graph, 0))
    model.begin_training(train, 1)
    targets = {
        name: np.zeros((batch, *loss.target_shape(node.shape)), np.int64 if loss.targets == "classes" else np.float32)
        for (name, loss), node in zip(model.losses.items(), graph.output_nodes.values(), strict=True)
    }
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        model.step(random_inputs(graph, batch, 0), targets)
    return torch.cuda.max_memory_allocated() - before

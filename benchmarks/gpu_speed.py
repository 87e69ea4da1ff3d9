"""How fast: images a second of inference and of training steps, beside PyTorch as one writes it by hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gpu_peers
import numpy as np
import torch
from gpu_peers import Peer
from gpu_section import Section, Settings

import cnnspec
from cnnspec.arrays import Array
from cnnspec.errors import BackendError, CnnspecError
from cnnspec.graph.graph import Graph

HERE = Path(__file__).parent
Mode = Literal["forward", "step"]
MODES: tuple[Mode, ...] = ("forward", "step")


@dataclass(frozen=True)
class Case:
    """A network at a batch size; torch.compile is measured for some alone, since each takes minutes."""

    spec: str | Path
    batch: int
    compiles: bool = False


CASES = (
    Case("resnet50", 128, compiles=True),
    Case("lenet", 64, compiles=True),
    Case("lenet", 1024),
    Case("resnet18", 128),
    Case("mobilenet_v2", 128),
    Case("convnext_tiny", 64),
    Case(HERE / "vgg_like.yaml", 256),
    Case("resnet50", 256),
    Case("resnet50", 1),
    Case("lenet", 1),
)
"""What decides first, since a measurement ends when its time is over."""
DRY = (Case("lenet", 8), Case("resnet20", 2))
ROUNDS = 3


def sections(settings: Settings) -> list[Section]:
    """Return the sections of this part."""
    found = []
    peak = rate_of_products(settings)
    for case in CASES if settings.is_cuda else DRY:
        for mode in MODES:
            section = measured(case, mode, settings, peak)
            if section.rows:
                section.notes.append(f"a product of matrices in bfloat16 reaches {peak / 1e12:,.1f} TFLOP/s")
            found.append(section)
    return found


def measured(case: Case, mode: Mode, settings: Settings, peak: float) -> Section:
    """Return a network in one mode: every peer, in rounds in which they take turns."""
    graph = cnnspec.load(case.spec).graph
    section = Section(f"{graph.name}, batch {case.batch}, {'training step' if mode == 'step' else 'inference'}")
    if settings.is_over:
        section.notes.append("left out for want of time")
        return section
    x, target = batch_of(graph, case.batch)
    running: dict[str, tuple[Peer, float]] = {}
    for name, make in gpu_peers.peers(graph, settings.device, settings.compiles and case.compiles).items():
        try:
            running[name] = warmed(make, mode, x, target, settings)
        except (CnnspecError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            section.notes.append(f"{name} is left out: {reason}")
            if isinstance(error, BackendError) and settings.is_cuda:
                section.faults.append(f"{name}: {reason}")
    if not settings.is_cuda:
        section.notes.append("cuda_graphs and peak memory need a GPU")
    rounds = [
        {name: seconds(peer, mode, x, target, settings) for name, (peer, _) in running.items()} for _ in range(ROUNDS)
    ]
    macs = sum(node.layer.macs(node.in_shapes, node.shape) for node in graph.nodes if node.inputs)
    operations = 2 * macs * case.batch * (3 if mode == "step" else 1)
    for name, (_, memory) in running.items():
        time_of_one = statistics.median(times[name] for times in rounds)
        row = {"peer": name, "images/s": f"{case.batch / time_of_one:,.0f}", "ms": f"{1000 * time_of_one:.3g}"}
        for other in (gpu_peers.USUAL, gpu_peers.TUNED):
            if other in running:
                row[f"speed / {other}"] = f"{statistics.median(times[other] / times[name] for times in rounds):.2f}"
        row["of peak"] = f"{operations / time_of_one / peak:.1%}"
        if settings.is_cuda:
            row["peak memory"] = f"{memory / 2**20:,.0f} MiB"
        section.rows.append(row)
    return section


def batch_of(graph: Graph, n: int) -> tuple[Array, Array]:
    """Return random images float32 [n, c, h, w] and classes [n]."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, *graph.input.shape), np.float32)
    return x, rng.integers(0, graph.output.shape[0], n)


def warmed(make: Callable[[], Peer], mode: Mode, x: Array, target: Array, settings: Settings) -> tuple[Peer, float]:
    """Return a peer after some calls, and the memory that it took at the peak beyond what was taken before."""
    before = 0
    if settings.is_cuda:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    peer = make()
    for _ in range(3):
        call(peer, mode, x, target)
    peer.finish()
    return peer, torch.cuda.max_memory_allocated() - before if settings.is_cuda else 0


def call(peer: Peer, mode: Mode, x: Array, target: Array) -> None:
    """Make one call, which a peer may finish later."""
    if mode == "step":
        peer.step(x, target)
    else:
        peer.forward(x)


def seconds(peer: Peer, mode: Mode, x: Array, target: Array, settings: Settings) -> float:
    """Return the time of a call, from many in a row; a call before them brings back what the other peers displaced."""
    call(peer, mode, x, target)
    peer.finish()
    least = 0.5 if settings.is_cuda else 0.05
    began, n = time.perf_counter(), 0
    while (now := time.perf_counter()) - began < least or not n:
        for _ in range(max(1, n)):
            call(peer, mode, x, target)
        n += max(1, n)
    peer.finish()
    now = time.perf_counter()
    if settings.is_cuda:
        torch.cuda.empty_cache()
    return (now - began) / n


def rate_of_products(settings: Settings) -> float:
    """Return the operations a second of a product of matrices in bfloat16, the yardstick of `of peak`."""
    size = 8192 if settings.is_cuda else 256
    a, b = (torch.randn(size, size, device=settings.device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / min(times_of(lambda: torch.mm(a, b), settings))


def times_of(function: Callable[[], object], settings: Settings) -> Iterator[float]:
    """Yield the times of some calls, each of which is waited for."""
    for _ in range(10):
        if settings.is_cuda:
            torch.cuda.synchronize()
        began = time.perf_counter()
        function()
        if settings.is_cuda:
            torch.cuda.synchronize()
        yield time.perf_counter() - began

"""Forward and training step of LeNet: our Torch backend beside a hand-written nn.Sequential, and NumPy beside Torch.

Each peer runs in a process of its own, on one thread, in rounds that take turns; what counts is the ratio within a
round. The network is the chapter's LeNet, the batch is random, the loop around it the same: arrays in, arrays out.

    python benchmarks/backends.py [--batch 64 256] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

PEERS = ("sequential", "torch", "numpy")
SECONDS = 1.0


def sequential(batch: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """LeNet as one writes it in PyTorch, with the usual loop."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(256, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss_of = nn.CrossEntropyLoss()
    x, target = numbers(batch)

    def forward() -> Any:
        net.eval()
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    def step() -> float:
        net.train()
        optimizer.zero_grad()
        loss = loss_of(net(torch.from_numpy(x)), torch.from_numpy(target))
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return forward, step


def ours(backend: str, batch: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same through cnnspec."""
    import cnnspec
    from cnnspec.graph.training import Sgd, Train

    model = cnnspec.build("lenet", backend)
    model.begin_training(Train(optimizer=Sgd(learning_rate=0.1)), 1000)
    x, target = numbers(batch)
    return lambda: model.predict(x), lambda: model.step(x, target)


def numbers(batch: int) -> tuple[Any, Any]:
    """A batch and its classes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 1, 28, 28), np.float32), rng.integers(0, 10, batch)


def measure(peer: str, batch: int) -> dict[str, float]:
    """The best time of a call, in milliseconds, over about a second each."""
    forward, step = sequential(batch) if peer == "sequential" else ours(peer, batch)
    found = {}
    for name, call in (("forward", forward), ("step", step)):
        for _ in range(3):
            call()
        best, end = float("inf"), time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            begin = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - begin)
        found[name] = best * 1e3
    return found


def in_a_process(peer: str, batch: int) -> dict[str, float]:
    """One measurement in a fresh process on one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, "--peer", peer, "--batch", str(batch)],
        env=os.environ | threads,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        print(json.dumps(measure(arguments.peer, arguments.batch[0])))
        return
    for batch in arguments.batch:
        rounds = [{peer: in_a_process(peer, batch) for peer in PEERS} for _ in range(arguments.rounds)]
        print(f"LeNet, batch {batch}, one thread, {arguments.rounds} rounds")
        for what in ("forward", "step"):
            best = {peer: min(r[peer][what] for r in rounds) for peer in PEERS}
            print(f"  {what:<8}" + "".join(f"{peer} {best[peer]:.2f} ms   " for peer in PEERS))
            for a, b in (("torch", "sequential"), ("numpy", "torch")):
                ratios = sorted(r[a][what] / r[b][what] for r in rounds)
                print(
                    f"    {a} / {b}: median {statistics.median(ratios):.2f} "
                    f"({ratios[0]:.2f} to {ratios[-1]:.2f}), best against best {best[a] / best[b]:.2f}"
                )


if __name__ == "__main__":
    main()

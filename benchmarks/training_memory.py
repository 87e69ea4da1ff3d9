"""The memory of a training step that `cnnspec check` predicts, beside that of the step itself.

    python benchmarks/training_memory.py [SPEC…] [--batches 1 32 256] [--dtypes float32 bfloat16]
        [--optimizers adam sgd] [--parts 1] [--json]

The step is that of the Torch backend, on PyTorch's device `meta` with what it does on CUDA (tests/backends/
memory_trace.py): every tensor is counted as it is made and freed, and nothing is computed. What cannot be trained is
left out with the reason.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cnnspec
from cnnspec import bundled
from cnnspec.graph.costs import DTYPES, trainable
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import OPTIMIZERS, BinaryCrossEntropy, Train
from cnnspec.graph.training_memory import training_memory
from cnnspec.sizes import size_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "backends"))

TOLERANCE = 0.1
BATCHES, FORMATS, RULES = (1, 32, 256), ("float32", "bfloat16"), ("adam", "sgd")


class Row(NamedTuple):
    """A training step, and the bytes that it takes as predicted and as measured."""

    spec: str
    optimizer: str
    batch: int
    parts: int
    dtype: str
    predicted: int
    measured: int = 0

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured

    @property
    def is_close(self) -> bool:
        return abs(self.ratio - 1) <= TOLERANCE


def predictions(
    specs: Sequence[str],
    batches: Sequence[int] = BATCHES,
    dtypes: Sequence[str] = FORMATS,
    optimizers: Sequence[str] = RULES,
    parts: int = 1,
) -> Iterator[tuple[Spec, Train, Row]]:
    """Yield each step with its prediction, and the spec and the settings that it is measured with."""
    for name in specs:
        spec = cnnspec.load(name)
        if not trainable(spec.trained_graph.nodes):
            print(f"{name} is left out: it has nothing to train", file=sys.stderr)
            continue
        for optimizer in optimizers:
            train = trained_with(spec, optimizer, parts)
            for dtype in dtypes:
                memory = training_memory(spec.trained_graph, DTYPES[dtype], train)
                for batch in batches:
                    predicted = memory.bytes(-(-batch // parts))
                    yield spec, train, Row(name, optimizer, batch, parts, dtype, predicted)


def trained_with(spec: Spec, optimizer: str, parts: int) -> Train:
    """Return the settings of training with an optimizer, in parts, and with a loss that fits each output."""
    losses = {
        name: BinaryCrossEntropy() if loss.misfit(spec.graph.output_nodes[name].shape) else loss
        for name, loss in spec.losses.items()
    }
    changed = {"optimizer": OPTIMIZERS[optimizer](), "accumulate": parts, "losses": losses}
    return (spec.train or Train()).model_copy(update=changed)


def traced(specs: Sequence[str], *which: Sequence[str] | Sequence[int], parts: int = 1) -> Iterator[Row]:
    """Yield each step with its prediction and its trace."""
    from memory_trace import traced_bytes

    for spec, train, row in predictions(specs, *which, parts=parts):  # type: ignore[arg-type]
        try:
            yield row._replace(measured=traced_bytes(spec, row.batch, row.dtype, train))
        except ValueError as error:  # one number of each channel, which batch normalization refuses
            print(f"{row.spec} with a batch of {row.batch} is left out: {error}", file=sys.stderr)


def text_of(row: Row) -> str:
    step = f"{row.spec:<32}{row.optimizer:<6}{row.batch:>5}  {row.dtype:<9}"
    return f"{step}{size_of(row.predicted):>10}{size_of(row.measured):>10}{row.ratio:>8.3f}"


def summary(rows: Sequence[Row], worst: int = 8) -> list[str]:
    """Return how many predictions are within the tolerance, and those that are farthest away."""
    close = sum(row.is_close for row in rows)
    ratios = [row.ratio for row in rows]
    farthest = sorted(rows, key=lambda row: -abs(row.ratio - 1))[:worst]
    return [
        f"{close} of {len(rows)} within {TOLERANCE:.0%}; median {statistics.median(ratios):.3f}, "
        f"{min(ratios):.3f} to {max(ratios):.3f}; farthest:",
        *(text_of(row) for row in farthest),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    zoo = [name for name in bundled.names() if "/" not in name]
    parser.add_argument(
        "specs", nargs="*", default=zoo, help="by default all bundled specs but the textbook's examples"
    )
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=FORMATS)
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=RULES)
    parser.add_argument("--parts", type=int, default=1, help="parts of a batch, whose gradients are added")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for row in traced(options.specs, options.batches, options.dtypes, options.optimizers, parts=options.parts):
        rows.append(row)
        if not options.json:
            print(text_of(row), flush=True)
    if options.json:
        print(json.dumps([{**row._asdict(), "ratio": round(row.ratio, 4)} for row in rows], indent=1))
    else:
        print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()

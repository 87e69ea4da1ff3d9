"""`cnnspec evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from cnnspec.arrays import Array
from cnnspec.cli.common import data_options, format_option, model_options, painter, print_json, print_lines, settings
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.run import evaluate
from cnnspec.view.table import percent, table_lines


@click.command("evaluate")
@click.argument("spec")
@data_options
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Which part.")
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True, help="Samples at a time.")
@model_options
@format_option
def command(
    spec: str,
    data: str | None,
    data_dir: Path | None,
    split: str,
    resize: bool,
    no_download: bool,
    batch: int,
    backend: str,
    device: str,
    dtype: str,
    weights: str | None,
    seed: int,
    memory_limit: int | None,
    sets: tuple[str, ...],
    form: str,
) -> None:
    """Measure the weights of SPEC's network on a dataset: loss, accuracy, each class, who is taken for whom."""
    loaded, dataset, found = evaluate(
        spec,
        data,
        weights=weights,
        backend=backend,
        device=device,
        dtype=dtype,
        batch=batch,
        split=split,
        data_dir=data_dir,
        resize=resize,
        download=not no_download,
        params=settings(sets),
        seed=seed,
        memory_limit=memory_limit,
    )
    if found.process != 0:
        return
    names = list(loaded.classes or dataset.classes or map(str, range(loaded.graph.output.shape[0])))
    if form == "json":
        print_json(
            {
                "spec": loaded.name,
                "data": dataset.name,
                "split": split,
                "samples": found.samples,
                "loss": found.loss,
                "accuracy": found.accuracy,
                "classes": [{"name": n} | entry for n, entry in zip(names, found.per_class(), strict=False)],
                "confusion": found.confusion.tolist() if found.confusion is not None else None,
            }
        )
        return
    accuracy = f"accuracy {found.accuracy:.2%}, ".replace("%", " %") if found.accuracy is not None else ""
    said = f"{accuracy}loss {found.loss:.4f}, {found.samples:,} samples"
    click.echo(f"{loaded.name} on {dataset.name} ({split}): {said}\n")
    if found.confusion is not None:
        _print_classes(names, found)


def _print_classes(names: list[str], found: Evaluation) -> None:
    assert found.confusion is not None
    paint = painter(sys.stdout)
    entries = found.per_class()
    columns = {
        "class": names,
        "samples": [f"{entry['samples']:,}" for entry in entries],
        "recall": [_share(entry["recall"]) for entry in entries],
        "precision": [_share(entry["precision"]) for entry in entries],
        "most often taken for": [_mistaken(names, row, i) for i, row in enumerate(found.confusion)],
    }
    print_lines(table_lines(columns, paint, left=("class", "most often taken for")))
    if len(names) > 20:
        return
    click.echo("\nconfusion (rows: what it is; columns: what it is taken for)\n")
    heads = [name[:8] for name in names]
    if len(set(heads)) < len(names):
        heads = [str(i) for i in range(len(names))]
    cells = {head: [f"{n or '·'}" for n in column] for head, column in zip(heads, found.confusion.T, strict=True)}
    print_lines(table_lines({"": names, **cells}, paint, left=("",)))


def _mistaken(names: list[str], row: Array, own: int) -> str:
    others = np.where(np.arange(len(row)) == own, 0, row)
    return f"{names[int(others.argmax())]} ({int(others.max())})" if others.any() else ""


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)

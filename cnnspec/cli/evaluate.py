"""`cnnspec evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cnnspec.cli.common import console, format_option, model_options, print_json, settings
from cnnspec.evaluation import Evaluation
from cnnspec.runs import evaluate


@click.command("evaluate")
@click.argument("spec")
@click.option("--data", metavar="DATA", help="mnist, fashion-mnist, cifar10, digits, examples, a directory or .npz.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the named datasets lie.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Which part.")
@click.option("--resize", is_flag=True, help="Fit images of another size or colour to the network.")
@click.option("--no-download", is_flag=True, help="Never fetch a dataset.")
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
    graph, dataset, found = evaluate(
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
    names = list(graph.classes or dataset.classes or map(str, range(graph.output.shape[0])))
    if form == "json":
        print_json(
            {
                "spec": graph.name,
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
    click.echo(f"{graph.name} on {dataset.name} ({split}): {said}\n")
    if found.confusion is not None:
        _print_classes(names, found)


def _print_classes(names: list[str], found: Evaluation) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    assert found.confusion is not None
    out: Any = console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("class", style="bold", no_wrap=True)
    for column in ("samples", "recall", "precision", "most often taken for"):
        table.add_column(column, justify="right", no_wrap=True)
    for i, (name, entry) in enumerate(zip(names, found.per_class(), strict=True)):
        row = found.confusion[i].copy()
        row[i] = 0
        worst = f"{names[int(row.argmax())]} ({int(row.max())})" if row.max() else ""
        table.add_row(name, f"{entry['samples']:,}", _share(entry["recall"]), _share(entry["precision"]), worst)
    out.print(table)
    if len(names) > 20:
        return
    click.echo("\nconfusion (rows: what it is, columns: what it is taken for)\n")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(name[:8], justify="right", no_wrap=True)
    for i, name in enumerate(names):
        cells = [f"[bold]{n}[/bold]" if i == j else f"{n}" if n else "·" for j, n in enumerate(found.confusion[i])]
        table.add_row(name, *cells)
    out.print(table)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}".replace("%", " %")

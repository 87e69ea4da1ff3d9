"""`cnnspec init`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cnnspec.bundled import MODELINE, SCHEMA

STARTER = """\
# A network for small grey images. `cnnspec check FILE` computes its shapes, `cnnspec run FILE` runs it.
cnnspec: 1
name: {name}
input: [1, 28, 28]                # channels, height, width; the batch is never written
# input: {{shape: [3, 32, 32], mean: [0.49, 0.48, 0.45], std: [0.25, 0.24, 0.26]}}

params:                           # named values; `--set width=32` overrides them
  width: 16

blocks:                           # groups of layers that are used more than once
  stage:
    params: {{channels: int, activation: relu}}      # a type: required; a value: the default
    layers:
      - conv: {{channels: $channels, kernel: 3, padding: same, norm: batch_norm, activation: $activation}}
      - max_pool: 2               # a kernel of 2×2; the stride is the kernel's size

layers:
  - stage: $width
  - stage: {{channels: $(width * 2), name: second}}    # its layers are called second.conv1, …
  - add:                          # branches start from the current tensor and are added
      main: [conv: {{channels: $(width * 2), kernel: 3, padding: same}}]
      skip: []                    # an empty list is the identity
  - relu
  - flatten
  - dropout: 0.2
  - dense: 10

train:                            # `cnnspec train FILE`
  data: fashion-mnist
  optimizer: {{adam: 0.001}}
  batch: 64
  epochs: 3
"""


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("network.yaml"))
@click.option("--no-schema", is_flag=True, help="Write the spec alone, without the schema for editors.")
def command(path: Path, no_schema: bool) -> None:
    """Write a commented starter spec to PATH (network.yaml; `-` prints it), and beside it its schema for editors."""
    name = "".join(ch if ch.isalnum() or ch in "_-" else "-" for ch in path.stem) or "network"
    if str(path) == "-":
        click.echo(STARTER.format(name="network"), nl=False)
        return
    first = "" if no_schema else f"{MODELINE}{SCHEMA}\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(first + STARTER.format(name=name))
    except FileExistsError:
        click.echo(f"error: {path} exists already: give another path", err=True)
        sys.exit(1)
    click.echo(f"wrote {path}: try `cnnspec check {path}`")
    if not no_schema:
        _write_schema(path.with_name(SCHEMA))


def _write_schema(path: Path) -> None:
    from cnnspec.cli.schema import schema_text

    if not path.exists():
        path.write_text(schema_text(), encoding="utf-8")
        click.echo(f"wrote {path}, with which editors complete and check it")

"""`cnnspec show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from cnnspec import atomic
from cnnspec.cli.common import ShapeType, error_line, packed, painter, params_option, print_lines, show, text_width
from cnnspec.cli.completion import complete_block, complete_spec
from cnnspec.cli.show_watch import Live, live_options
from cnnspec.diagram.draw import Diagram, draw
from cnnspec.graph.blocks import block_names
from cnnspec.graph.graph import Graph
from cnnspec.language.load import load
from cnnspec.layers import Shape
from cnnspec.sizes import size_of
from cnnspec.wording import nearest, one_of, quoted

ENDINGS = (".svg", ".png")
_PIPE_WIDTH = 100
"""Columns of the text where it goes to no terminal."""


class Look(NamedTuple):
    """What is drawn, and how."""

    view: str
    depth: int | None
    block: str | None
    theme: str | None


look_options = packed(
    "look",
    Look,
    click.option(
        "--view",
        type=click.Choice(["graph", "stack"]),
        default="graph",
        show_default=True,
        help="Boxes and edges, or the feature maps of a plain chain.",
    ),
    click.option("--depth", type=click.IntRange(0), help="Levels of blocks to unfold. [as many as are readable]"),
    click.option("--block", metavar="NAME", help="Draw this block alone.", shell_complete=complete_block),
    click.option(
        "--theme", type=click.Choice(["auto", "light", "dark"]), help="Colours. [auto for SVG, light for PNG]"
    ),
)


@click.command("show")
@click.argument("spec", shell_complete=complete_spec)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write: .svg or .png.")
@look_options
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@live_options
@params_option
def command(
    spec: str, output: Path | None, look: Look, input_shape: Shape | None, live: Live, params: dict[str, Any]
) -> None:
    """Draw the network of SPEC: on the terminal, or as SVG or PNG with -o.

    Blocks are boxes, folded where the diagram would have too many. --view stack is the classical picture of feature
    maps that shrink, for networks that are a plain chain of layers. PNG needs the extra `images`.

    --watch serves a page on this machine that follows SPEC, with its diagnostics, diagram and costs, the feature maps
    of a picture, and the curves of a run. It needs the extra `live`.
    """
    if live.watch:
        live.serve(spec, params, input_shape)
        return
    live.expect_none()
    _check(output, look)
    loaded = load(spec, params=params, input_shape=input_shape)
    show(loaded.warnings, sys.stderr)
    diagram = _draw(loaded.graph, look)
    if output is None:
        print_lines([diagram.text(text_width() or _PIPE_WIDTH, ascii_only=not _has_box_characters())])
        return
    content = _content(diagram, output, look)
    atomic.write(output, content)
    size = f"{diagram.picture.width:.0f}×{diagram.picture.height:.0f}"
    name = painter(sys.stdout)(loaded.name, "bold")
    print_lines([f"{name}: diagram written to {output}, {size} pixels, {size_of(len(content))}"])


def _check(output: Path | None, look: Look) -> None:
    """Refuse options that do not fit each other, before anything is loaded."""
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise click.UsageError(f"{quoted(output.name)} does not end in {one_of(ENDINGS)}, which can be written")
    if output is None and look.theme:
        raise click.UsageError("--theme is for a file: add -o net.svg or -o net.png")
    if output is not None and output.suffix.lower() == ".png" and look.theme == "auto":
        raise click.UsageError("a PNG has colours of its own: --theme light or --theme dark")
    if look.view == "stack":
        if output is None:
            raise click.UsageError("--view stack is written to a file: add -o net.svg or -o net.png")
        if look.depth is not None or look.block is not None:
            raise click.UsageError("--view stack has no blocks: leave out --depth and --block")
    if look.block is not None and not look.block:
        raise click.UsageError("--block needs the name of a block")


def _draw(graph: Graph, look: Look) -> Diagram:
    if look.block is not None and look.block not in (names := block_names(graph)):
        near = nearest(look.block, names)
        hint = f"did you mean `{near}`?" if near else _listed(names)
        error_line(f"`{graph.name}` has no block {quoted(look.block)}: {hint}")
        sys.exit(1)
    return draw(graph, view="stack" if look.view == "stack" else "graph", depth=look.depth, block=look.block)


def _listed(names: list[str]) -> str:
    if not names:
        return "it has no blocks with a name"
    return f"it has {', '.join(names[:5])}" + (", …" if len(names) > 5 else "")


def _content(diagram: Diagram, output: Path, look: Look) -> bytes:
    if output.suffix.lower() == ".png":
        return diagram.png(theme="dark" if look.theme == "dark" else "light")
    return diagram.svg("light" if look.theme == "light" else "dark" if look.theme == "dark" else "auto").encode()


def _has_box_characters() -> bool:
    """Whether the encoding of the terminal has the characters of boxes."""
    try:
        "┌▼▸×…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

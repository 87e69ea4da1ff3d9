"""`cnnspec specs`."""

from __future__ import annotations

import click

from cnnspec import api, bundled
from cnnspec.cli.common import format_option, print_json
from cnnspec.layers.base import by
from cnnspec.totals import macs, trainable


@click.command("specs")
@format_option
def command(form: str) -> None:
    """List the bundled specs: what they take, how many parameters they have, and what they are."""
    found = []
    for name in bundled.names():
        graph = api.load(name)
        found.append(
            {
                "name": name,
                "input": list(graph.input.shape),
                "output": list(graph.output.shape),
                "parameters": trainable(graph.nodes),
                "macs": macs(graph.nodes),
                "about": _headline(api.read(name).text),
            }
        )
    if form == "json":
        print_json(found)
        return
    width = max(len(str(entry["name"])) for entry in found)
    for entry in found:
        shape = by(tuple(entry["input"]))  # type: ignore[arg-type]
        click.echo(f"{entry['name']:<{width}}  {shape:>9}  {entry['parameters']:>11,}  {entry['about']}")


def _headline(text: str) -> str:
    """The spec's opening comment, up to its first full stop."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines).split(". ")[0].rstrip(".")

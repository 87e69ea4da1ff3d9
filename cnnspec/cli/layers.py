"""`cnnspec layers`: the reference, generated from the layer classes."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec.cli.common import error_line, format_option, print_json, print_lines
from cnnspec.cli.completion import complete_kind
from cnnspec.layers import Layer, find, known_kinds
from cnnspec.layers.reference import documentation, headline, reference
from cnnspec.wording import nearest


@click.command("layers")
@click.argument("kind", required=False, shell_complete=complete_kind)
@format_option
def command(kind: str | None, output_format: str) -> None:
    """List the layers; with KIND, document one: what it does, its fields, an example."""
    if kind is not None:
        cls = find(kind)
        if cls is None:
            near = nearest(kind, known_kinds())
            hint = f"; did you mean `{near}`?" if near else "; `cnnspec layers` lists them"
            error_line(f"no layer is called `{kind}`{hint}")
            sys.exit(1)
        if output_format == "json":
            print_json(reference(cls))
        else:
            print_lines([_page(cls)])
    elif output_format == "json":
        print_json([reference(cls) for cls in known_kinds().values()])
    else:
        indent = max(map(len, known_kinds())) + 2
        print_lines(f"{name:<{indent}}{headline(cls)}".replace("\n", " ") for name, cls in known_kinds().items())


def _page(cls: type[Layer]) -> str:
    lines = [cls.kind, "", documentation(cls), ""]
    entries = reference(cls)["fields"]
    if cls.arity is None:
        lines += [
            "Branches are lists of layers by name; `[]` is the identity, `from: name` starts at a layer.",
            "",
        ]
    if entries:
        lines.append("fields:")
    width = max((len(name) for name in entries), default=0)
    for name, entry in entries.items():
        default = "required" if entry["required"] else f"default {_yaml(entry['default'])}"
        also = f"; `{cls.kind}: …` sets it" if name == cls.main else ""
        lines.append(f"  {name:<{width}}  {entry['about'].replace(chr(10), ' ')} ({default}{also})")
    lines.append("Every layer also takes `name` and `expect` (the output shape that its author expects).")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

"""`cnnspec layers`: the reference, generated from the layer classes."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any

import click
from pydantic import BaseModel

from cnnspec.cli.common import error_line, format_option, print_json, text_width
from cnnspec.layers import Layer, find, known_kinds
from cnnspec.wording import nearest


@click.command("layers")
@click.argument("kind", required=False)
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
            click.echo(_page(cls))
    elif output_format == "json":
        print_json([reference(cls) for cls in known_kinds().values()])
    else:
        indent = max(map(len, known_kinds())) + 2
        width = max(text_width() or 1000, indent + 20)
        for name, cls in known_kinds().items():
            wrapped = textwrap.wrap(f"{name:<{indent}}{cls.headline()}", width, subsequent_indent=" " * indent)
            click.echo("\n".join(wrapped))


def reference(cls: type[Layer]) -> dict[str, Any]:
    """Return the layer's documentation as data: its fields with their types, defaults and descriptions."""
    schema = cls.model_json_schema()
    defaults = cls.model_construct().model_dump(mode="json", warnings=False)
    meanings = field_docs(cls)
    fields = {}
    for name in sorted(cls.field_names(), key=lambda name: not cls.model_fields[name].is_required()):
        field = cls.model_fields[name]
        part = {k: v for k, v in schema["properties"][name].items() if k not in ("title", "default")}
        fields[name] = {
            "about": meanings.get(name, ""),
            "required": field.is_required(),
            "default": None if field.is_required() else defaults[name],
            "schema": part,
        }
    return {
        "kind": cls.kind,
        "about": inspect.cleandoc(cls.__doc__ or ""),
        "main": cls.main,
        "merges": cls.arity is None,
        "fields": fields,
    }


def field_docs(cls: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field, of the class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, BaseModel) or base in (BaseModel, Layer):
            continue
        (tree,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(tree, ast.ClassDef)
        for before, after in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                assert isinstance(before.target, ast.Name)
                found[before.target.id] = str(after.value.value)
    return found


def _page(cls: type[Layer]) -> str:
    lines = [cls.kind, "", inspect.cleandoc(cls.__doc__ or ""), ""]
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

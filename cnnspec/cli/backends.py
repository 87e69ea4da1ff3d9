"""`cnnspec backends`."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec.cli.common import format_option, painter, print_json, print_lines, text_width
from cnnspec.errors import BackendError
from cnnspec.runtime.backend import Backend, installed
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import table_lines


@click.command("backends")
@format_option
def command(output_format: str) -> None:
    """List the backends with their devices, data types and options (`--option NAME=VALUE`)."""
    found = [_about(name, backend) for name, backend in installed().items()]
    if output_format == "json":
        print_json(found)
        return
    here = [entry for entry in found if not entry["fault"]]
    columns = {
        "name": [entry["name"] for entry in here],
        "library": [entry["version"] for entry in here],
        "devices": [", ".join(entry["devices"]) for entry in here],
        "dtypes": [", ".join(entry["dtypes"]) for entry in here],
        "options": [", ".join(entry["options"]) for entry in here],
    }
    narrow = Narrow(texts=("options", "dtypes", "devices", "library"))
    print_lines(table_lines(columns, painter(sys.stdout), columns, width=text_width(), narrow=narrow))
    for entry in found:
        if entry["fault"]:
            click.echo(f"{entry['name']} is not available: {entry['fault']}")


def _about(name: str, backend: Backend | str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "version": None, "devices": [], "dtypes": [], "options": [], "fault": None}
    if isinstance(backend, str):
        return entry | {"fault": backend}
    try:
        return entry | {
            "version": backend.version(),
            "devices": backend.devices(),
            "dtypes": [*backend.dtypes()],
            "options": [*backend.options],
        }
    except BackendError as error:
        return entry | {"fault": str(error)}

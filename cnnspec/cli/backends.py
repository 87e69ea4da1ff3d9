"""`cnnspec backends`."""

from __future__ import annotations

import click

from cnnspec.backend import BackendError, installed
from cnnspec.cli.common import format_option, print_json


@click.command("backends")
@format_option
def command(form: str) -> None:
    """List the backends, with the devices that are present and the number formats they compute in."""
    found = []
    for name, backend in installed().items():
        entry: dict[str, object] = {"name": name, "version": None, "devices": [], "dtypes": [], "fault": None}
        if isinstance(backend, str):
            entry["fault"] = backend
        else:
            try:
                entry |= {"version": backend.version(), "devices": backend.devices(), "dtypes": backend.dtypes()}
            except BackendError as error:
                entry["fault"] = str(error)
        found.append(entry)
    if form == "json":
        print_json(found)
        return
    for entry in found:
        if entry["fault"]:
            click.echo(f"{entry['name']:<8}not available: {entry['fault']}")
        else:
            devices, dtypes = ", ".join(entry["devices"]), ", ".join(entry["dtypes"])  # type: ignore[call-overload]
            click.echo(f"{entry['name']:<8}{entry['version']}; devices {devices}; dtypes {dtypes}")

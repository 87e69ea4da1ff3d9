"""The options of the commands that build a model or open a dataset, each group as one object."""

from __future__ import annotations

from pathlib import Path

import click

from cnnspec.cli.common import BytesType, packed, parse_values
from cnnspec.data.options import DataOptions
from cnnspec.runtime.options import Execution

device_option = click.option(
    "--device", default=Execution.device, show_default=True, help="Device to run on: cpu, cuda, cuda:1, mps."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=Execution.seed, show_default=True, help="Seed of weights and input."
)
memory_option = click.option("--memory-limit", type=BytesType(), help="Refuse to take more memory; 2GiB by default.")
backend_option = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the backend, such as compile=true (`cnnspec backends`).",
)


def _execution(
    backend: str, device: str, dtype: str, seed: int, memory_limit: int | None, options: tuple[str, ...]
) -> Execution:
    return Execution(backend, device, dtype, seed, memory_limit, parse_values("--option", options))


execution_options = packed(
    "execution",
    _execution,
    click.option(
        "--backend", default=Execution.backend, show_default=True, help="Backend to run on (see `cnnspec backends`)."
    ),
    device_option,
    click.option("--dtype", default=Execution.dtype, show_default=True, help="Data type to compute in."),
    seed_option,
    memory_option,
    backend_option,
)
"""Options for every command that builds a model; the command gets an `Execution` as `execution`."""

weights_option = click.option(
    "--weights", metavar="FILE", help="A safetensors file, or the name of bundled weights; random without it."
)


def _data(source: str | None, folder: Path | None, resize: bool, no_download: bool) -> DataOptions:
    return DataOptions(source, folder, resize, not no_download)


data_options = packed(
    "data",
    _data,
    click.option(
        "--data",
        "source",
        metavar="DATA",
        help="mnist, fashion-mnist, cifar10, digits, examples, a directory, or an .npz file.",
    ),
    click.option(
        "--data-dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="Directory that holds the named datasets.",
    ),
    click.option("--resize", is_flag=True, help="Fit images of another size or colour to the network."),
    click.option("--no-download", is_flag=True, help="Never download a dataset."),
)
"""Options for every command that opens a dataset; the command gets `DataOptions` as `data`."""

"""The options of the commands that build a model or open a dataset, each group as one object."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import click

from cnnspec.cli.common import BytesType, packed, parse_values
from cnnspec.data.options import DataOptions
from cnnspec.runtime.backend import installed
from cnnspec.runtime.options import NUMERICS, Execution
from cnnspec.wording import describe, names

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


threads_option = click.option("--threads", type=click.IntRange(1), help="Threads to use; the backend chooses.")
numerics_option = click.option(
    "--numerics", type=click.Choice(NUMERICS), help="What may change the rounding (docs/performance.md). [default]"
)
autotune_option = click.option(
    "--autotune",
    is_flag=True,
    default=None,
    help="Choose methods by timed runs: NumPy's, which are kept in the user's cache, and cuDNN's.",
)


def set_once(options: dict[str, Any], name: str, value: Any) -> None:
    """Set an option of a backend; raise UsageError where it has another value already."""
    before = options.setdefault(name, value)
    # 1 and true are equal in Python, and are not the same option.
    if (type(before), before) != (type(value), value):
        raise click.UsageError(f"the option `{name}` is given twice: as {describe(before)} and as {describe(value)}")


def option_values(written: tuple[str, ...], **flags: Any) -> dict[str, Any]:
    """Return the options of `--option NAME=VALUE` and of the flags that are given, which are not None."""
    found: dict[str, Any] = {}
    for name, value in flags.items():
        if value is not None:
            set_once(found, name, value)
    for text in written:
        for name, value in parse_values("--option", (text,)).items():
            set_once(found, name, value)
    return found


def expect_taker(options: Iterable[str], backends: Collection[str]) -> None:
    """Raise UsageError where none of the backends (all, where none is named) has one of the options."""
    found = installed()
    chosen = {name: found[name] for name in backends or found if name in found}
    for option in options:
        if chosen and not any(option in about.options for about in chosen.values() if not isinstance(about, str)):
            raise click.UsageError(f"none of {names(list(chosen))} has an option `{option}`")


def _execution(
    backend: str,
    device: str,
    dtype: str,
    seed: int,
    memory_limit: int | None,
    threads: int | None,
    numerics: str | None,
    autotune: bool | None,
    compiled: bool | None,
    channels_last: bool | None,
    tf32: bool | None,
    options: tuple[str, ...],
) -> Execution:
    flags = {"compile": compiled, "channels_last": channels_last, "tf32": tf32}
    given = option_values(options, threads=threads, numerics=numerics, autotune=autotune, **flags)
    return Execution(backend, device, dtype, seed, memory_limit, given)


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
    threads_option,
    numerics_option,
    autotune_option,
    click.option("--compile", "compiled", is_flag=True, default=None, help="Generate kernels (torch.compile)."),
    click.option(
        "--channels-last/--channels-first",
        default=None,
        help="Memory format of images on Torch; the faster by default.",
    ),
    click.option("--tf32", is_flag=True, default=None, help="Let CUDA round float32 products to TF32."),
    backend_option,
)
"""Options for every command that builds a model; the command gets an `Execution` as `execution`."""

weights_option = click.option(
    "--weights",
    metavar="FILE",
    help="A safetensors file, the name of bundled weights, or hf://OWNER/NAME/FILE; random without it.",
)


def _data(
    source: str | None, folder: Path | None, resize: bool, no_download: bool, skip_broken: bool, workers: int
) -> DataOptions:
    return DataOptions(source, folder, resize, not no_download, skip_broken, workers)


data_options = packed(
    "data",
    _data,
    click.option(
        "--data",
        "source",
        metavar="DATA",
        help="mnist, fashion-mnist, cifar10, digits, examples, a directory, a .csv, .jsonl, .parquet or .npz file.",
    ),
    click.option(
        "--data-dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="Directory that holds the named datasets.",
    ),
    click.option("--resize", is_flag=True, help="Fit images of another size or colour to the network."),
    click.option("--no-download", is_flag=True, help="Never download a dataset."),
    click.option("--skip-broken", is_flag=True, help="Leave out samples with a file that cannot be decoded."),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=DataOptions.workers,
        show_default=True,
        help="Processes that decode files; 0 for threads.",
    ),
)
"""Options for every command that opens a dataset; the command gets `DataOptions` as `data`."""

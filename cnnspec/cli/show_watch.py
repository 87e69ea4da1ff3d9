"""`cnnspec show --watch`: the live page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from cnnspec.cli.common import error_line, given_options, packed
from cnnspec.layers import Shape

F = TypeVar("F", bound=Callable[..., Any])

_WITH_WATCH = ("--watch", "--port", "--ipv6", "--open", "--weights", "--run", "--set", "--input", "spec")
EXTRA = ("starlette", "uvicorn", "watchfiles", "jinja2", "markupsafe", "PIL")


class Live(NamedTuple):
    """The options of the live page."""

    watch: bool
    port: int | None
    ipv6: bool
    open_browser: bool
    weights: str | None
    run: Path | None

    def serve(self, spec: str, params: Mapping[str, Any], input_shape: Shape | None) -> None:
        """Serve the page until Ctrl-C; exit with 2 where the extra is missing or the port is in use."""
        if unused := [option for option in given_options() if option not in _WITH_WATCH]:
            raise click.UsageError(f"the live page shows the whole network: leave out {', '.join(unused)}")
        if spec == "-":
            raise click.UsageError("--watch follows a file, and standard input is none")
        try:
            from cnnspec.live.options import Watched
            from cnnspec.live.serve import PortError, serve
        except ImportError as error:
            if (error.name or "").split(".")[0] not in EXTRA:
                raise
            error_line(f"the live page needs {error.name}: pip install 'cnnspec[live]'")
            sys.exit(2)
        try:
            serve(
                Watched(spec, params, input_shape, self.weights, self.run),
                port=self.port or 0,
                ipv6=self.ipv6,
                open_browser=self.open_browser,
                announce=lambda url: click.echo(f"{spec} is shown at {url} (Ctrl-C ends)"),
            )
        except PortError as error:
            error_line(str(error))
            sys.exit(2)

    def expect_none(self) -> None:
        """Raise UsageError for an option that is of no use without --watch."""
        given = {
            "--port": self.port is not None,
            "--ipv6": self.ipv6,
            "--open": self.open_browser,
            "--weights": self.weights is not None,
            "--run": self.run is not None,
        }
        if unused := [option for option, is_given in given.items() if is_given]:
            raise click.UsageError(f"{', '.join(unused)} goes with --watch")


def live_options(command: F) -> F:
    """Add the options, which the command gets as `live`."""
    return packed(
        "live",
        lambda watch, port, ipv6, open_browser, weights, run: Live(watch, port, ipv6, open_browser, weights, run),
        click.option("--watch", is_flag=True, help="Serve a live page on this machine, which follows the files."),
        click.option("--port", type=click.IntRange(1, 65535), help="Port of the page; by default a free one."),
        click.option("--ipv6", is_flag=True, help="Serve the page on ::1, too."),
        click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser."),
        click.option(
            "--weights", metavar="FILE", help="Weights for pictures on the page; those of the spec, or initial ones."
        ),
        click.option(
            "--run", type=click.Path(path_type=Path, file_okay=False), help="Folder of a run whose curves are shown."
        ),
    )(command)

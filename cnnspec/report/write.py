"""Write a report: one HTML file about a spec, with everything that it needs in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnspec import atomic
from cnnspec.arrays import Array
from cnnspec.data.options import DataOptions
from cnnspec.diagnostics import Source, SpecError
from cnnspec.graph.spec import Spec
from cnnspec.interop.requirements import require
from cnnspec.language.load import Report, check
from cnnspec.report.data import Wanted, collect
from cnnspec.report.page.render import render
from cnnspec.runtime.options import Execution


def report_html(
    spec: str | Path | Source | Spec | Report,
    *,
    weights: str | Path | Mapping[str, Array] | None = None,
    run: str | Path | None = None,
    inputs: str | Sequence[str] = (),
    data: DataOptions | None = None,
    samples: int | None = None,
    execution: Execution | None = None,
) -> str:
    """Return the report of a spec as the text of an HTML file.

    `weights` are those of `cnnspec.build`; without them they are those of the `run`, the folder of a training of the
    same network, whose backend also computes unless `execution` names another. `inputs` are files as `cnnspec run`
    takes them; the first sample is shown. `data` says where the evaluation data of the run is, if not where it was; at
    most so many `samples` of it are evaluated, and none is downloaded. Raises SpecError for an invalid spec,
    BackendError where the extra `report` is not installed, and the errors of the files that are named.
    """
    require("jinja2", "matplotlib", "PIL", extra="report")
    report = None
    if isinstance(spec, Spec):
        checked = spec
    else:
        report = spec if isinstance(spec, Report) else check(spec, notes=True)
        if report.spec is None:
            raise SpecError(report.diagnostics)
        checked = report.spec
    files = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    wanted = Wanted(weights, None if run is None else Path(run), files, data or DataOptions(), samples)
    return render(collect(checked, report, wanted, execution))


def write_report(
    path: str | Path,
    spec: str | Path | Source | Spec | Report,
    *,
    weights: str | Path | Mapping[str, Array] | None = None,
    run: str | Path | None = None,
    inputs: str | Sequence[str] = (),
    data: DataOptions | None = None,
    samples: int | None = None,
    execution: Execution | None = None,
) -> None:
    """Write the file that `report_html` returns, whole or not at all."""
    text = report_html(spec, weights=weights, run=run, inputs=inputs, data=data, samples=samples, execution=execution)
    atomic.write(path, text.encode())

"""`cnnspec test`."""

from __future__ import annotations

import sys
from typing import Any

import click
import numpy as np

from cnnspec.cli.common import format_option, painter, print_json, print_lines, show, text_width
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import expect_taker, numerics_option, option_values, threads_option
from cnnspec.language.load import Report, check
from cnnspec.runtime.backend import available
from cnnspec.runtime.options import Execution
from cnnspec.testing.examples import Outcome, run_examples


@click.command("test")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", shell_complete=complete_spec)
@click.option("--backend", "backends", multiple=True, help="Test only this backend; may be repeated.")
@threads_option
@numerics_option
@format_option
def command(
    specs: tuple[str, ...],
    backends: tuple[str, ...],
    threads: int | None,
    numerics: str | None,
    output_format: str,
) -> None:
    """Run the examples of SPEC on every installed backend, in float64.

    --threads and --numerics reach the backends that have the option.
    """
    execution = Execution(options=option_values((), threads=threads, numerics=numerics))
    expect_taker(execution.options, backends)
    usable = available()
    names = backends or tuple(usable)
    options = {name: execution.on(name, "float64", usable[name].options).options for name in names if name in usable}
    found: list[dict[str, Any]] = []
    failed = False
    for spec in specs:
        report = check(spec)
        if report.spec is None:
            failed = True
            if output_format == "text":
                show(report.diagnostics)
            found.append({"spec": report.name, "ok": False, "diagnostics": _as_data(report), "examples": []})
            continue
        learns = report.spec.examples_are_training_data
        outcomes = [
            outcome
            for name in (names if not learns else ())
            for outcome in run_examples(report.spec, name, **options.get(name, {}))
        ]
        failed = failed or not all(outcome.passed for outcome in outcomes)
        found.append(
            {
                "spec": report.name,
                "ok": all(outcome.passed for outcome in outcomes),
                "diagnostics": _as_data(report),
                "examples": [
                    {
                        "name": outcome.example.name,
                        **({"output": outcome.output} if len(outcome.example.outputs) > 1 else {}),
                        "backend": outcome.backend,
                        "passed": outcome.passed,
                        "difference": outcome.difference,
                    }
                    for outcome in outcomes
                ],
            }
        )
        if output_format == "text":
            if learns:
                click.echo(f"{report.name}: its examples are training data (`cnnspec train`) and are not tested")
            else:
                _print(report.name, outcomes, names)
    if output_format == "json":
        print_json(found[0] if len(found) == 1 else found)
    sys.exit(1 if failed else 0)


def _as_data(report: Report) -> list[dict[str, Any]]:
    return [diagnostic.to_dict() for diagnostic in report.diagnostics]


def _print(spec: str, outcomes: list[Outcome], names: tuple[str, ...]) -> None:
    if not outcomes:
        click.echo(f"{spec}: no examples")
        return
    paint = painter(sys.stdout)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    examples = len({outcome.example.span for outcome in outcomes})
    counts = [paint(f"{len(outcomes) - len(failed)} passed", "good" if not failed else "")]
    if failed:
        counts.append(paint(f"{len(failed)} failed", "error"))
    lines = [f"{spec}: {examples} example{'s' * (examples != 1)} on {', '.join(names)}: {', '.join(counts)}"]
    for outcome in failed:
        example = outcome.example
        of_output = f", output {outcome.output}" if len(example.outputs) > 1 else ""
        lines.append(f"  {example.span}: {example.name}{of_output}, on {outcome.backend}")
        for what, value in (("expected", outcome.expected), ("actual", outcome.actual)):
            text = np.array2string(
                value, precision=6, suppress_small=True, threshold=100, max_line_width=(text_width() or 89) - 14
            )
            lines.append(f"    {what:<8}  {text}".replace("\n", "\n              "))
        lines.append(f"    largest difference {outcome.difference:.3g}, tolerance {example.tolerance:g}")
    print_lines(lines)

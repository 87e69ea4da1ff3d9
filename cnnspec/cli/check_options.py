"""The options of `check` about costs: what is counted, what is shown, what may not be exceeded; and lists of values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import click

from cnnspec.cli.common import BytesType, packed, parse_values
from cnnspec.cli.completion import complete_param
from cnnspec.graph.budgets import Budget, parse_budgets
from cnnspec.graph.costs import DTYPES, Summary, summarize
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import OPTIMIZERS, Optimizer, Train
from cnnspec.wording import one_of

MOST_MEMBERS = 1000
"""The most members of a family that are checked in one call."""


@dataclass(frozen=True)
class CostOptions:
    """What is counted, shown and limited."""

    batch: int = 1
    dtype: str = "float32"
    optimizer: Optimizer | None = None
    """In place of that of the spec's `train:` section."""
    fit: int | None = None
    """The bytes that the largest batch is looked for in."""
    budgets: tuple[Budget, ...] = ()
    per_block: bool = False
    sizes: bool = False

    @property
    def itemsize(self) -> int:
        """The bytes of a number."""
        return DTYPES[self.dtype]

    def train(self, spec: Spec) -> Train | None:
        """Return the spec's settings of training, with the optimizer that is asked for."""
        if self.optimizer is None:
            return spec.train
        return (spec.train or Train()).model_copy(update={"optimizer": self.optimizer})

    def summary(self, spec: Spec) -> Summary:
        """Return the costs of a spec's network."""
        return summarize(spec.graph, self.batch, self.itemsize, self.train(spec), spec.trained_graph)


def _cost_options(
    batch: int,
    dtype: str,
    optimizer: str | None,
    fit: int | None,
    budgets: tuple[list[Budget], ...],
    per_block: bool,
    sizes: bool,
) -> CostOptions:
    limits = tuple(budget for found in budgets for budget in found)
    chosen = None if optimizer is None else _optimizer(optimizer)
    return CostOptions(batch, dtype, chosen, fit, limits, per_block, sizes)


def _optimizer(text: str) -> Optimizer:
    """Return the optimizer of a text as in a spec; SpecError where it is not valid."""
    from cnnspec.language.train import train_settings

    values = parse_values("--optimizer", (f"optimizer={text}",), mappings=True)
    return train_settings(values).optimizer


class _BudgetType(click.ParamType):  # type: ignore[type-arg]
    """Budgets on the command line: macs=500M,memory=4GB."""

    name = "FIGURE=LIMIT,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Budget]:
        """Return the budgets."""
        try:
            return parse_budgets(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


cost_options = packed(
    "costs",
    _cost_options,
    click.option(
        "--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples of the memory figures."
    ),
    click.option("--dtype", type=click.Choice([*DTYPES]), default="float32", show_default=True, help="Number format."),
    click.option(
        "--optimizer",
        metavar="OPTIMIZER",
        help=f"Of the training memory, in place of the spec's or Adam: {one_of([*OPTIMIZERS])}, or as in a spec.",
    ),
    click.option("--fit", type=BytesType(), metavar="SIZE", help="The largest batch that fits into this memory: 8GB."),
    click.option(
        "--budget",
        "budgets",
        type=_BudgetType(),
        multiple=True,
        help="Fail beyond these limits: macs=500M,parameters=5M,memory=4GB,training=8GB,receptive_field=64..",
    ),
    click.option("--per-block", is_flag=True, help="Sum the costs by named block, in place of the layers."),
    click.option("--sizes", is_flag=True, help="Show which sizes of its inputs the network accepts."),
)
"""What is counted, shown and limited; the command gets `costs`."""


def _alternatives(sets: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the parameters of each member of a family: every combination of the values that are listed."""
    values: dict[str, list[Any]] = {}
    for text in sets:
        name, equals, listed = text.partition("=")
        parts = [f"{name}={part}" for part in split_list(listed)] if equals else [text]
        found = [parse_values("--set", (part,), mappings=True) for part in parts]
        values |= {key: [each[key] for each in found] for key in found[0]}
    count = math.prod(map(len, values.values()))
    if count > MOST_MEMBERS:
        raise click.UsageError(f"--set gives {count:,} members, and at most {MOST_MEMBERS:,} are checked in one call")
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def split_list(text: str) -> list[str]:
    """Return the values that commas separate outside of brackets, braces and quotes: `1,2` is two, `[1, 2]` one."""
    parts, depth, quote, start = [], 0, "", 0
    for i, ch in enumerate(text):
        if quote:
            quote = "" if ch == quote else quote
        elif ch in "\"'":
            quote = ch
        elif ch in "[{(":
            depth += 1
        elif ch in "]})":
            depth -= 1
        elif ch == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


members_option = packed(
    "members",
    _alternatives,
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME=VALUE[,VALUE…]",
        shell_complete=complete_param,
        help="Override a parameter of the spec; several values, or lists in brackets, are a family: width=1,2,4.",
    ),
)
"""The parameters of each member; the command gets `members`, which is [{}] where none are set."""

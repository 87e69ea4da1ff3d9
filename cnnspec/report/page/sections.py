"""The parts of a page: which there are, the figures at its head, and the table of costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cnnspec.report.data import ReportData
from cnnspec.report.network import Costs, Network
from cnnspec.sizes import size_of
from cnnspec.view.table import percent
from cnnspec.wording import a_count, format_shape


class Link(NamedTuple):
    """A section in the navigation."""

    anchor: str
    title: str


@dataclass(frozen=True)
class Sections:
    """The sections of a page, and what it does not have."""

    links: tuple[Link, ...]
    missing: tuple[tuple[str, str], ...]
    """What is missing, and the option that adds it."""

    @classmethod
    def of(cls, data: ReportData) -> Sections:
        """Return those of a report."""
        links = [Link("summary", "Summary"), Link("network", "Network"), Link("layers", "Layers")]
        links += [Link("costs", "Costs"), Link("memory", "Memory"), Link("field", "Receptive field")]
        missing = []
        if data.kernels:
            links.append(Link("kernels", "Kernels"))
        elif data.trained:
            missing.append(("Kernels of the first convolution", "the network has no convolution over two axes"))
        else:
            missing.append(("Kernels of the first convolution", "give `--weights FILE`"))
        if data.maps:
            links.append(Link("maps", "Feature maps"))
        else:
            missing.append(("Feature maps and the picture behind a receptive field", "give `--input FILE`"))
        if data.run:
            links.append(Link("training", "Training"))
        else:
            missing.append(
                ("Curves of training, mistakes and histograms", "give `--run RUN`, the folder of a training")
            )
        return cls(tuple(links), tuple(missing))


class Fact(NamedTuple):
    """A figure at the head of the page."""

    name: str
    value: str
    about: str = ""


def facts(data: ReportData) -> list[Fact]:
    """Return the figures of a network."""
    graph, summary = data.network.graph, data.network.summary
    totals = summary.totals
    inputs = " and ".join(format_shape(graph.by_name[name].shape) for name in graph.inputs)
    outputs = " and ".join(format_shape(node.shape) for node in graph.output_nodes.values())
    state = f", and {summary.state:,} running statistics" if summary.state else ""
    largest = f"; {summary.by_kind[0][0]} layers hold {_of(summary.by_kind[0][1], totals.parameters)}"
    by_macs = max(summary.by_kind, key=lambda entry: entry[2], default=("", 0, 0))
    work = f"; {by_macs[0]} layers take {_of(by_macs[2], totals.macs)}" if totals.macs else ""
    return [
        Fact("Input", inputs, f"output {outputs}"),
        Fact("Layers", f"{sum(bool(node.inputs) for node in graph.nodes):,}"),
        Fact(
            "Parameters",
            f"{totals.parameters:,}",
            f"{size_of(totals.parameter_bytes)}{state}{largest if totals.parameters else ''}",
        ),
        Fact("MACs", f"{totals.macs:,}", f"{totals.flops:,} FLOPs for one sample{work}"),
        Fact("Memory of inference", size_of(totals.inference_bytes), "weights and activations at the peak, one sample"),
        Fact(
            "Memory of training",
            size_of(totals.training_bytes),
            f"one sample with {summary.optimizer}: weights, gradients, optimizer state, activations at the peak",
        ),
    ]


def _of(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "none"


class CostRow(NamedTuple):
    """A layer or block in the table of costs."""

    name: str
    label: str
    depth: int
    is_block: bool
    layers: str
    bars: tuple[tuple[str, float, str], ...]
    """For parameters, MACs and memory: the figure, its percentage of the network's, and that as text."""
    parts: tuple[CostRow, ...]


def cost_rows(network: Network) -> list[CostRow]:
    """Return the layers and blocks at the top, each with what is in it."""
    return [_row(part, network.costs, 0) for part in network.costs.parts]


def _row(costs: Costs, whole: Costs, depth: int) -> CostRow:
    figures = (
        (f"{costs.parameters:,}", costs.parameters, whole.parameters),
        (f"{costs.macs:,}", costs.macs, whole.macs),
        (size_of(costs.activation_bytes), costs.activation_bytes, whole.activation_bytes),
    )
    bars = tuple(
        (text, round(100 * part / of, 2), percent(part / of)) if part else ("–", 0.0, "") for text, part, of in figures
    )
    parts = tuple(_row(part, whole, depth + 1) for part in costs.parts)
    layers = a_count(costs.layers, "layer") if costs.is_block else ""
    return CostRow(costs.name, costs.name.split(".")[-1], depth, costs.is_block, layers, bars, parts)

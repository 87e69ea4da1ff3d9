"""Plots as inline SVG, whose colours are those of the page: they follow its theme."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.sizes import size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, ACCENT, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Colours that stand for those of the page: Matplotlib writes them, and they are replaced by custom properties."""
_PROPERTIES = {INK: "--ink", MUTED: "--muted", LINE: "--rule", ACCENT: "--accent", SECOND: "--pool"}

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cnnspec",
    "text.parse_math": False,  # names are text
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
}
MOST_RIDGES = 8
"""Epochs that a plot of histograms shows."""

Series = Mapping[str, Sequence[float | None]]


def timeline(live: Sequence[int], peak: int, name: str) -> str:
    """Return the memory of activations while each layer runs, with the peak and its layer."""
    with _style():
        figure, axes = _figure(7.2, 2.5)
        scale, unit = _scale(max(live))
        values = [n / scale for n in live]
        edges = np.arange(len(values) + 1) - 0.5
        axes.stairs(values, edges, fill=True, color=ACCENT, alpha=0.25, linewidth=0)
        axes.stairs(values, edges, color=ACCENT)
        axes.plot([peak], [values[peak]], "o", color=SECOND, markersize=6)
        right = peak > len(values) / 2
        axes.annotate(
            f"{name}: {size_of(live[peak])}",
            (peak, values[peak]),
            xytext=(-8 if right else 8, 7),
            textcoords="offset points",
            ha="right" if right else "left",
        )
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.22 * max(values) or 1), xlabel="layer, in the order of running")
        axes.set_ylabel(f"activations, {unit}")
        _whole_numbers(axes, 12)
        return _svg(figure, f"Memory of activations by layer; the peak is {size_of(live[peak])} in {name}")


def lines(epochs: Sequence[int], series: Series, label: str, *, percent: bool = False, from_zero: bool = False) -> str:
    """Return series over epochs, the first drawn through and the second dashed."""
    with _style():
        figure, axes = _figure(3.5, 2.4)
        looks = zip(series.items(), (ACCENT, SECOND, MUTED), ("-", "--", ":"), strict=False)
        for (name, values), colour, dash in looks:
            numbers = [np.nan if v is None else v * (100 if percent else 1) for v in values]
            mark = "o" if len(epochs) < 25 else ""
            axes.plot(epochs, numbers, dash, color=colour, marker=mark, markersize=3.5, label=name)
        axes.set(xlabel="epoch", ylabel=f"{label}, %" if percent else label)
        if from_zero:
            axes.set_ylim(bottom=0)
        _whole_numbers(axes, 6)
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        if len(series) > 1:
            axes.legend(loc="best", fontsize=8)
        return _svg(figure, f"{label} by epoch: {', '.join(series)}")


def ridges(histograms: Sequence[tuple[int | None, Mapping[str, Any]]], title: str) -> str:
    """Return histograms of one array, an epoch above the other, the last one at the top; None is of no epoch."""
    kept = [pair for pair in histograms if pair[1]["low"] is not None]
    if len(kept) > MOST_RIDGES:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, MOST_RIDGES).round().astype(int)]
    with _style():
        figure, axes = _figure(2.5, 0.7 + 0.26 * len(kept))
        for level, (_, found) in enumerate(kept):
            counts = np.asarray(found["counts"], float)
            edges = np.linspace(found["low"], found["high"], len(counts) + 1)
            heights = level + 1.5 * counts / max(counts.max(), 1)
            order = len(kept) - level
            axes.stairs(heights, edges, baseline=level, fill=True, color=ACCENT, alpha=0.35, zorder=2 * order)
            axes.stairs(heights, edges, baseline=level, color=ACCENT, linewidth=0.9, zorder=2 * order + 1)
        epochs = [(level, str(epoch)) for level, (epoch, _) in enumerate(kept) if epoch is not None]
        axes.set_yticks([level for level, _ in epochs], [epoch for _, epoch in epochs], fontsize=7)
        axes.set_ylabel("epoch" if epochs else "", fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="y", visible=False)
        return _svg(figure, title)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _style() -> AbstractContextManager[None]:
    """Set Matplotlib's parameters for a plot, and let it have its own again at the end."""
    from matplotlib import rc_context

    parameters: Any = _STYLE
    return rc_context(parameters)


def _whole_numbers(axes: Axes, most: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))


def _scale(most: int) -> tuple[float, str]:
    """Return the unit in which a size is a number below a thousand, in bytes, and its name."""
    text = size_of(most)
    unit = text.split()[1]
    return {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}.get(unit, 1e12), unit


def _svg(figure: Figure, title: str) -> str:
    """Return a figure as an `<svg>` that takes the width of its place, described by its title."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for colour, name in _PROPERTIES.items():
        text = text.replace(colour, f"var({name})")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would hold for the whole page
    text = re.sub(r"font-family: [^;\"]*; ?", "", text)
    prefix = re.sub(r"\W+", "-", title)[:40]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(url\(#|xlink:href="#)', rf"\1{prefix}-", text)
    return text.replace("<svg ", f'<svg class="plot" role="img" aria-label="{_attribute(title)}" ', 1)


def _attribute(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))

"""The style sheet and the script of pages that have diagrams.

Uses the palette of the diagrams.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from cnnspec.diagram.palette import PALETTES, Theme


def stylesheet() -> str:
    """Return the style sheet: the colours as custom properties, light, dark or as the reader has it, and the diagrams.

    `data-theme="light"` or `"dark"` on the root element of a page chooses; otherwise, the browser's setting does.
    """
    return "\n".join(
        [
            f":root {{ color-scheme: light dark; {_properties('light')} }}",
            f"@media (prefers-color-scheme: dark) {{ :root {{ {_properties('dark')} }} }}",
            *(f"[data-theme={theme}] {{ color-scheme: {theme}; {_properties(theme)} }}" for theme in PALETTES),
            *(f".cnnspec-diagram .f-{name} {{ fill: var(--{name}); }}" for name in PALETTES["light"]),
            *(f".cnnspec-diagram .s-{name} {{ stroke: var(--{name}); }}" for name in PALETTES["light"]),
            _text("diagram.css"),
        ]
    )


def _properties(theme: Theme) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in PALETTES[theme].items())


def script() -> str:
    """Return the script: it folds and unfolds blocks, and tells the page which layer is chosen.

    A layer that is clicked, or chosen by Enter or the space bar, sends the event `cnnspec:layer`, with its name in
    `detail`, from the diagram's element. It may be loaded before or after diagrams are there. `cnnspecDiagram` has
    `unfolded(svg)`, `unfold(svg, names)` and `reveal(svg, name)`, for a page that keeps what is unfolded where it
    replaces a diagram, or that leads to a layer.
    """
    return _text("diagram.js")


@cache
def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")

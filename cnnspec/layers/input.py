"""The input of a network, as a node of its graph."""

from __future__ import annotations

from cnnspec.layers.base import SameShape

INPUT = "input"


class InputLayer(SameShape):
    """A node that reads no other: its shape is that of the input itself."""

    kind = INPUT
    arity = 0
    elementwise = True
    monotone = True
    linear = True
    saves_input = False
    piecewise = False

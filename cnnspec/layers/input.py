"""The input of a network, as the first node of its graph."""

from __future__ import annotations

from cnnspec.layers import Inferred, Layer, Shape

INPUT = "input"


class InputLayer(Layer):
    """The first node of every graph: what the network is given."""

    kind = INPUT

    def infer(self, *inputs: Shape) -> Inferred:
        """Its own shape."""
        return Inferred(inputs[0])

"""Attention over positions, and embeddings of positions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import pydantic

from cnnspec.layers.axes import spatial
from cnnspec.layers.base import Elementwise, Fields, Inferred, Layer, Parameter, Shape
from cnnspec.layers.conv import divide
from cnnspec.layers.fields import Count
from cnnspec.layers.geometry import AXES


class Attention(Layer):
    """Multi-head self-attention: each position a weighted mean of all, with weights from the likeness of the two.

    x [n, c, ...] -> y [n, c, ...]

        - attention: 4

    Vaswani et al. 2017, section 3.2: softmax(Q·Kᵀ/√(c/heads))·V in each head, with Q, K and V from in_proj_weight
    [3c, c] and in_proj_bias [3c], and then out_proj.weight [c, c] and out_proj.bias [c], as in PyTorch's
    MultiheadAttention; timm's `qkv_bias=False` is `bias: false, output_bias: true`. The positions of an image are taken
    in any order: only a `position_embedding` tells them apart.
    The MACs are 4·c²·t of the projections and 2·c·t² of the products, of t positions. The [t, t] weights of the heads
    are not counted as memory: NumPy computes them block by block, and torch where its kernels do.
    """

    kind = "attention"
    mac_rule = "c² in each of four projections for each of t positions, and c for each pair of positions, twice"
    main = "heads"
    elementwise = False
    monotone = False
    linear = False
    piecewise = False
    precision = "format"

    heads: Count
    """Number of heads, which divides the channels."""
    bias: bool = True
    """Whether the projections add a bias."""
    output_bias: bool | None = None
    """Whether the last projection adds a bias; as `bias` where it is left out."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        spatial(self.kind, inputs[0])
        divide(self.heads, (inputs[0][0], "channels"), field="heads")
        return Inferred(inputs[0])

    @property
    def adds_output_bias(self) -> bool:
        """Whether the last projection adds a bias."""
        return self.bias if self.output_bias is None else self.output_bias

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return in_proj_weight [3c, c] and out_proj.weight [c, c], and their biases [3c] and [c]."""
        c = inputs[0][0]
        found = {"in_proj_weight": Parameter((3 * c, c), None, c, 3 * c, torch="glorot_uniform")}
        if self.bias:
            found["in_proj_bias"] = Parameter((3 * c,), 0.0)
        found["out_proj.weight"] = Parameter((c, c), None, c, c)
        if self.adds_output_bias:
            found["out_proj.bias"] = Parameter((c,), 0.0)
        return found

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return the channels of queries, keys and values, and those of the output."""
        into, out = ("3c", "c"), ("c", "c")
        return {"in_proj_weight": into, "in_proj_bias": into[:1], "out_proj.weight": out, "out_proj.bias": out[:1]}

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return 4·c²·t + 2·c·t²."""
        c, t = shape[0], math.prod(shape[1:])
        return 4 * c * c * t + 2 * c * t * t

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of Q, K, V and what the heads return, and of a float32 for each position of each head.

        That number is the logarithm of the sum of a position's exponentials: fused kernels keep no [t, t] weights.
        """
        c, t = inputs[0][0], math.prod(inputs[0][1:])
        return 4 * c * t * itemsize + 4 * self.heads * t

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """Return 4·c²·t + 2·c·t² with the numbers."""
        c, t = shape[0], math.prod(shape[1:])
        return f"4·{c}²·{t} + 2·{c}·{t}²"

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of every position."""
        return tuple(field.everywhere() for field in seen)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the channels of a head."""
        return [("channels of a head", f"{shape[0]} / {self.heads} = {shape[0] // self.heads}")]


class PositionEmbedding(Elementwise):
    """A learned number added to each channel at each position, which tells the positions apart.

    x [n, c, ...] -> y [n, c, ...]

        - position_embedding

    Dosovitskiy et al. 2020 (ViT), section 3.1, without the class token: a `global_avg_pool` takes its place. Parameter
    weight, of the sample's shape.
    """

    kind = "position_embedding"
    main = "std"
    monotone = True
    linear = True
    piecewise = False
    saves_input = False
    precision = "promoted"

    std: Annotated[float, pydantic.Field(ge=0)] = 0.02
    """Standard deviation of the initial values, which are normally distributed."""

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return the axes of the sample."""
        return {"weight": ("c", *AXES.get(rank, ()))}

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight, of the sample's shape."""
        return {"weight": Parameter(inputs[0], deviation=self.std)}

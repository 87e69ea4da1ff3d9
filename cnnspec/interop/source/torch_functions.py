"""Functions, rearrangements and merges in PyTorch: layers without arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import (
    Expression,
    LayerCode,
    Write,
    code,
    depth,
    function,
    joined,
    method,
    number,
)
from cnnspec.interop.source.text import Argument, Call, Slot, Text
from cnnspec.interop.source.torch_windows import owner, rank
from cnnspec.layers.axes import short_form
from cnnspec.layers.sampling import Sampling

# Functions


def _function(name: str, module: str = "", **fields: tuple[str, Any]) -> Write:
    """Return how a function of one tensor is written; `fields` gives the keyword and the default of the layer's."""

    def write(node: Node, _: str) -> LayerCode:
        arguments = tuple(
            number(getattr(node.layer, field), field, owner(node), keyword, default)
            for field, (keyword, default) in fields.items()
        )
        stateless = (Call(module, arguments),) if module else None
        return LayerCode(lambda inputs: function(name, inputs, *arguments), stateless=stateless, follows=True)

    return write


def _gelu(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    arguments = () if layer.approximate == "none" else (code('"tanh"', "approximate"),)
    return LayerCode(
        lambda inputs: function("F.gelu", inputs, *arguments), stateless=(Call("nn.GELU", arguments),), follows=True
    )


def _hard_sigmoid(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    if layer == type(layer)():
        return _function("F.hardsigmoid", "nn.Hardsigmoid")(node, _)
    slope, offset = (Slot(getattr(layer, name), name, owner(node)) for name in ("slope", "offset"))

    def make(inputs: Sequence[Expression]) -> Expression:
        line = Expression((*inputs[0].as_atom, " * ", slope, " + ", offset), atom=False, depth=depth(inputs))
        return method(line, "clamp", code("0"), code("1"))

    return LayerCode(make)


def _softplus(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    # At torch's own threshold of 20 the result is off by 2e-9.
    arguments = (number(layer.beta, "beta", owner(node), "beta", 1.0), code("40", "threshold"))
    return LayerCode(
        lambda inputs: function("F.softplus", inputs, *arguments),
        stateless=(Call("nn.Softplus", arguments),),
        follows=True,
    )


def _along_axis(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    axis = code(str(1 + layer.position(node.shape)))
    return LayerCode(lambda inputs: method(inputs[0], node.kind, axis), follows=False)


def _clip(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    limits = [
        number(value, name, owner(node), name)
        for name, value in (("min", layer.min), ("max", layer.max))
        if value is not None
    ]
    return LayerCode(lambda inputs: method(inputs[0], "clamp", *limits), follows=False)


def _hard_tanh(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    limits = (number(layer.min, "min", owner(node), "", -1.0), number(layer.max, "max", owner(node), "", 1.0))
    if layer.min != -1.0:  # a default before a number that is none would move it
        limits = (number(layer.min, "min", owner(node)), number(layer.max, "max", owner(node)))
    elif layer.max != 1.0:
        limits = (code("-1.0"), number(layer.max, "max", owner(node)))
    return LayerCode(lambda inputs: function("F.hardtanh", inputs, *limits), follows=True)


def _thresholded_relu(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    alpha = number(layer.alpha, "alpha", owner(node))
    return LayerCode(lambda inputs: function("F.threshold", inputs, alpha, code("0.0")), follows=True)


def _power(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    return LayerCode(lambda inputs: function("torch.pow", inputs, number(layer.exponent, "exponent", owner(node))))


def _dropout(name: str, module: str = "") -> Write:
    def write(node: Node, _: str) -> LayerCode:
        layer: Any = node.layer
        vector = name != "drop_path" and rank(node) == 0
        by_rank = "" if vector or name != "spatial" else f"{rank(node)}d"
        function_name = "drop_path" if name == "drop_path" else f"F.dropout{by_rank}"
        rate = number(layer.rate, "rate", owner(node))
        return LayerCode(
            lambda inputs: function(function_name, inputs, rate, code("self.training")),
            stateless=(Call(f"nn.Dropout{by_rank}", (rate,)),) if name != "drop_path" else None,
            follows=True,
        )

    return write


def _flatten(node: Node, _: str) -> LayerCode:
    return LayerCode(
        lambda inputs: method(inputs[0], "flatten", code("1")), stateless=(Call("nn.Flatten"),), follows=True
    )


# Rearrangements


def _reordered(node: Node, _: str) -> LayerCode:
    """Return reshape, permute and reshape, each where it does something; torch's pixel shuffle where it is that."""
    layer: Any = node.layer
    before = node.in_shapes[0]
    if node.kind in ("depth_to_space", "space_to_depth") and layer.mode == "crd" and rank(node) == 2:
        blocks = set(layer.blocks(before))
        name = "F.pixel_shuffle" if node.kind == "depth_to_space" else "F.pixel_unshuffle"
        if len(blocks) == 1:
            block = number(blocks.pop(), "block", owner(node))
            return LayerCode(lambda inputs: function(name, inputs, block))
    sizes, order = layer.split(before)

    def make(inputs: Sequence[Expression]) -> Expression:
        x = inputs[0]
        if sizes != before:
            x = method(x, "reshape", code("-1"), *(number(n, "size", owner(node)) for n in sizes))
        if order != tuple(range(len(order))):
            x = method(x, "permute", code("0"), *(code(str(1 + axis)) for axis in order))
        if tuple(sizes[axis] for axis in order) != node.shape:
            x = method(x, "reshape", code("-1"), *(number(n, "size", owner(node)) for n in node.shape))
        return x

    return LayerCode(make)


def _upsample(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    scales = layer.scales(node.shape)
    linear = ("linear", "bilinear", "trilinear")[rank(node) - 1]
    # torch finds the source of `nearest` by a rounded product, which is exact for powers of two.
    exact = all(n & (n - 1) == 0 for n in scales)
    mode = ("nearest" if exact else "nearest-exact") if layer.mode == "nearest" else linear
    arguments = (number(short_form(scales), "scale", owner(node), "scale_factor"), code(f'"{mode}"', "mode"))
    return LayerCode(
        lambda inputs: function("F.interpolate", inputs, *arguments), stateless=(Call("nn.Upsample", arguments),)
    )


def _resize(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    samplings: tuple[Sampling, ...] = layer.samplings(node.in_shapes[0])
    size = number(node.shape[1:], "size", owner(node))
    corners = layer.coordinates == "align_corners"
    own_scale = all(s.scale * s.n == s.out for s in samplings) and layer.coordinates == "half_pixel"
    if layer.method == "linear" and (corners or own_scale):
        mode = ("linear", "bilinear", "trilinear")[rank(node) - 1]
        arguments = [size, code(f'"{mode}"', "mode")] + ([code("True", "align_corners")] if corners else [])
        return LayerCode(lambda inputs: function("F.interpolate", inputs, *arguments))
    steps = ", ".join(f"Fraction({s.step.numerator}, {s.step.denominator})" for s in samplings)
    further = {"half_pixel": str(layer.coordinates == "half_pixel"), "mode": f'"{layer.method}"'}
    if layer.method == "nearest":
        further["rounding"] = f'"{layer.rounding}"'
    if layer.method == "cubic":
        further["a"] = str(layer.cubic_coeff)
    arguments = [size, code(f"[{steps}]", "steps"), *(code(value, keyword) for keyword, value in further.items())]
    return LayerCode(lambda inputs: function("resize", inputs, *arguments))


def _channel_shuffle(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    groups = number(layer.groups, "shuffle_groups", owner(node))
    return LayerCode(
        lambda inputs: function("torch.channel_shuffle", inputs, groups),
        stateless=(Call("nn.ChannelShuffle", (groups,)),),
        follows=True,
    )


def _slice(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    parts = layer.parts(node.in_shapes[0])
    while len(parts) > 1 and parts[-1] == slice(None):
        parts = parts[:-1]

    def make(inputs: Sequence[Expression]) -> Expression:
        text: Text = (*inputs[0].as_atom, "[:")
        for i, (part, n) in enumerate(zip(parts, node.in_shapes[0], strict=False)):
            text = (*text, ", ", *_bounds(part, n, "in_channels" if i == 0 else "size", owner(node)))
        return Expression((*text, "]"), typed=inputs[0].typed, depth=depth(inputs))

    return LayerCode(make, view=True)


def _bounds(part: slice, n: int, role: str, name: str) -> Text:
    """Return the code of a slice of n elements."""
    start: Text = (Slot(part.start, role, name),) if part.start else ()
    stop: Text = (Slot(part.stop, role, name),) if part.stop is not None and part.stop < n else ()
    return (*start, ":", *stop, f":{part.step}" if part.step not in (None, 1) else "")


def _reduce(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    axes = tuple(1 + axis for axis in layer.positions(node.in_shapes[0]))
    name = {"max": "amax", "min": "amin"}.get(layer.mode, layer.mode)
    where = code(str(axes) if len(axes) > 1 else str(axes[0]))
    return LayerCode(lambda inputs: method(inputs[0], name, where, code("True", "keepdim")))


# Merges


def _broadcast(node: Node, inputs: Sequence[Expression]) -> list[Expression]:
    """Return the inputs, with axes of size one behind those of a vector where others are images."""
    found = []
    for x, shape in zip(inputs, node.in_shapes, strict=True):
        missing = len(node.shape) - len(shape)
        text = (*x.as_atom, f"[{', '.join([':'] * (1 + len(shape)) + ['None'] * missing)}]")
        found.append(Expression(text, typed=x.typed, depth=x.depth) if missing else x)
    return found


def _operator(sign: str) -> Write:
    return lambda node, _: LayerCode(lambda inputs: joined(sign, _broadcast(node, inputs)))


def _extremum(name: str) -> Write:
    def write(node: Node, _: str) -> LayerCode:
        def make(inputs: Sequence[Expression]) -> Expression:
            first, *others = _broadcast(node, inputs)
            for x in others:
                first = function(name, [first, x])
            return first

        return LayerCode(make)

    return write


def _mean(node: Node, _: str) -> LayerCode:
    def make(inputs: Sequence[Expression]) -> Expression:
        total = joined("+", _broadcast(node, inputs))
        return Expression((*total.as_atom, f" / {len(inputs)}"), atom=False, typed=total.typed, depth=total.depth)

    return LayerCode(make)


def _matmul(node: Node, _: str) -> LayerCode:
    most = max(map(len, node.in_shapes))

    def make(inputs: Sequence[Expression]) -> Expression:
        aligned = [
            Expression((*x.as_atom, f"[:, {'None, ' * (most - len(shape))}...]")) if len(shape) < most else x
            for x, shape in zip(inputs, node.in_shapes, strict=True)
        ]
        return joined("@", aligned)

    return LayerCode(make)


def _concat(node: Node, _: str) -> LayerCode:
    layer: Any = node.layer
    axis = code(str(1 + layer.position(node.shape)))

    def make(inputs: Sequence[Expression]) -> Expression:
        listed: Text = ("[",)
        for i, x in enumerate(inputs):
            listed = (*listed, ", " if i else "", *x.text)
        call = Call("torch.cat", (Argument((*listed, "]")), axis))
        return Expression((call,), depth=1 + depth(inputs))

    return LayerCode(make)


FUNCTIONS: dict[str, Write] = {
    "relu": _function("F.relu", "nn.ReLU"),
    "relu6": _function("F.relu6", "nn.ReLU6"),
    "leaky_relu": _function("F.leaky_relu", "nn.LeakyReLU", slope=("", 0.01)),
    "elu": _function("F.elu", "nn.ELU", alpha=("", 1.0)),
    "celu": _function("F.celu", "nn.CELU", alpha=("", 1.0)),
    "selu": _function("F.selu", "nn.SELU"),
    "gelu": _gelu,
    "silu": _function("F.silu", "nn.SiLU"),
    "mish": _function("F.mish", "nn.Mish"),
    "sigmoid": _function("torch.sigmoid", "nn.Sigmoid"),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": _function("torch.tanh", "nn.Tanh"),
    "hard_swish": _function("F.hardswish", "nn.Hardswish"),
    "softplus": _softplus,
    "softsign": _function("F.softsign", "nn.Softsign"),
    "log_sigmoid": _function("F.logsigmoid", "nn.LogSigmoid"),
    "softmax": _along_axis,
    "log_softmax": _along_axis,
    "clip": _clip,
    "hard_tanh": _hard_tanh,
    "thresholded_relu": _thresholded_relu,
    "abs": _function("torch.abs"),
    "exp": _function("torch.exp"),
    "log": _function("torch.log"),
    "sqrt": _function("torch.sqrt"),
    "power": _power,
    "dropout": _dropout("dropout"),
    "spatial_dropout": _dropout("spatial"),
    "stochastic_depth": _dropout("drop_path"),
    "flatten": _flatten,
    "reshape": _reordered,
    "permute": _reordered,
    "depth_to_space": _reordered,
    "space_to_depth": _reordered,
    "upsample": _upsample,
    "resize": _resize,
    "channel_shuffle": _channel_shuffle,
    "slice": _slice,
    "reduce": _reduce,
    "add": _operator("+"),
    "subtract": _operator("-"),
    "multiply": _operator("*"),
    "divide": _operator("/"),
    "maximum": _extremum("torch.maximum"),
    "minimum": _extremum("torch.minimum"),
    "mean": _mean,
    "matmul": _matmul,
    "concat": _concat,
}
"""How each kind without arrays is written."""

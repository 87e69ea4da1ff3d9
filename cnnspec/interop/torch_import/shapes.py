"""What moves, cuts, joins and resizes, of PyTorch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import joined
from cnnspec.interop.importer.parts import bordered, cut, element, filled, joined_with_constants, picked
from cnnspec.interop.torch_import.call import Call, Convert
from cnnspec.layers.axes import short_form
from cnnspec.layers.rearrange import DepthToSpace, SpaceToDepth
from cnnspec.layers.resize import Resize
from cnnspec.layers.shape import ChannelShuffle, Upsample

# The same numbers


def _same(net: Network, call: Call) -> Value:
    return call.value("input") if call.get("self") is None else call.value()


def _view(net: Network, call: Call) -> Value:
    return net.reshaped(call.value(), filled(net, call.value(), call.get("size" if "view" in call.op else "shape")))


def _flatten(net: Network, call: Call) -> Value:
    x, first, last = call.value(), call.axis("start_dim"), call.axis("end_dim")
    return net.reshaped(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def _unflatten(net: Network, call: Call) -> Value:
    x, axis = call.value(), call.axis()
    sizes = [*x.shape[:axis], *call.get("sizes"), *x.shape[axis + 1 :]]
    return net.reshaped(x, filled(net, x, sizes))


def _transpose(net: Network, call: Call) -> Value:
    x, order = call.value(), list(range(len(call.value().shape)))
    a, b = (call.axis("dim0"), call.axis("dim1")) if call.op == "transpose" else (len(order) - 2, len(order) - 1)
    order[a], order[b] = order[b], order[a]
    return x.seen(x.view.transposed(order))


def _permute(net: Network, call: Call) -> Value:
    x = call.value()
    return x.seen(x.view.transposed(call.axes("dims")))


def _unsqueeze(net: Network, call: Call) -> Value:
    x = call.value()
    return x.seen(x.view.with_axes([int(call.get("dim")) % (len(x.shape) + 1)]))


def _squeeze(net: Network, call: Call) -> Value:
    x = call.value()
    axes = [i for i in call.axes() if x.shape[i] == 1 and not x.view.holds_batch(i)]
    return x.seen(x.view.without(*axes))


def _expand(net: Network, call: Call) -> Value:
    """Return the tensor, where nothing is repeated."""
    x, sizes = call.value(), list(call.get("size"))
    shape = (1,) * (len(sizes) - len(x.shape)) + x.shape
    if any(size not in (-1, n) for n, size in zip(shape, sizes, strict=True)):
        raise Unsupported(f"it repeats {net.described(x)}")
    return x.seen(x.view.with_axes(range(len(sizes) - len(x.shape))))


# Parts and joints


def _concat(net: Network, call: Call) -> Value:
    given = [x for x in call.get("tensors") if x.shape != (0,)]
    return joined_with_constants(net, given, int(call.get("dim")) % len(given[0].shape))


def _stack(net: Network, call: Call) -> Value:
    tensors = call.tensors()
    axis = int(call.get("dim")) % (len(tensors[0].shape) + 1)
    return joined(net, [x.seen(x.view.with_axes([axis])) for x in tensors], axis)


def _slice(net: Network, call: Call) -> Value:
    x, axis = call.value(), call.axis()
    first, end, step = slice(call.get("start"), call.get("end"), call.get("step")).indices(x.shape[axis])
    return cut(net, x, axis, first, end, step)


def _narrow(net: Network, call: Call) -> Value:
    first = int(call.get("start"))
    return cut(net, call.value(), call.axis(), first, first + int(call.get("length")))


def _select(net: Network, call: Call) -> Value:
    x, axis = call.value(), call.axis()
    return element(net, x, axis, int(call.get("index")) % x.shape[axis])


def _slice_scatter(net: Network, call: Call) -> Value:
    """Return a tensor with a part that is replaced, as an assignment to a slice does."""
    x, axis = call.value(), call.axis()
    n = x.shape[axis]
    first, end, step = slice(call.get("start"), call.get("end"), call.get("step")).indices(n)
    if step != 1 or x.view.holds_batch(axis):
        raise Unsupported("it replaces parts that are no stretch of an axis")
    parts = [cut(net, x, axis, a, b) for a, b in ((0, first), (end, n)) if a < b]
    parts.insert(1 if first > 0 else 0, call.value("src"))
    return joined(net, parts, axis)


def _copy(net: Network, call: Call) -> Value:
    source = call.value("src")
    if source.shape != call.value().shape:
        raise Unsupported("it repeats what it copies")
    return source


def _index_select(net: Network, call: Call) -> Value:
    indices = call.array("index")
    assert indices is not None
    return picked(net, call.value(), call.axis(), [int(i) for i in indices])


def _index(net: Network, call: Call) -> Value:
    """Return x[:, [2, 1, 0]]: one list of indices, along one axis."""
    x, given = call.value(), list(call.get("indices"))
    axes = [axis for axis, indices in enumerate(given) if indices is not None]
    if len(axes) != 1 or isinstance(given[axes[0]], Value) or given[axes[0]].ndim != 1:
        raise Unsupported("its indices are not one list along one axis")
    return picked(net, x, axes[0], [int(i) % x.shape[axes[0]] for i in given[axes[0]]])


def _split(net: Network, call: Call) -> Sequence[Value]:
    x, axis = call.value(), call.axis()
    n = x.shape[axis]
    if call.op == "unbind":
        return [element(net, x, axis, i) for i in range(n)]
    if call.op == "chunk":
        size = -(-n // int(call.get("chunks")))
    else:
        size = call.get("split_sizes") if call.op == "split_with_sizes" else call.get("split_size")
    sizes = list(size) if isinstance(size, list | tuple) else [size] * (n // size) + [n % size] * (n % size > 0)
    ends = list(itertools.accumulate(sizes))
    return [cut(net, x, axis, end - length, end) for end, length in zip(ends, sizes, strict=True)]


# Borders

_MODES = {"reflection_pad": "reflect", "replication_pad": "edge"}


def _pad(net: Network, call: Call) -> Value:
    """Return a tensor with a border; the pads are of the last axis first."""
    x, flat = call.value(), list(call.get("pad") if call.get("pad") is not None else call.get("padding"))
    rank = len(x.shape)
    mode: Any = call.get("mode") if call.op == "pad" else _MODES.get(call.op[:-2], "constant")
    mode = {"replicate": "edge"}.get(mode, mode)
    sides = [(0, 0)] * rank
    for i in range(len(flat) // 2):
        before, after = flat[2 * i : 2 * i + 2]
        axis = rank - 1 - i
        x = cut(net, x, axis, max(0, -before), x.shape[axis] - max(0, -after))
        sides[axis] = (max(0, before), max(0, after))
    return bordered(net, x, sides, mode, float(call.get("value") or 0.0))


# Blocks of positions, and sizes


def _shuffled(net: Network, call: Call) -> Value:
    x = net.image(call.value())
    if call.op == "channel_shuffle":
        return net.add(ChannelShuffle(groups=int(call.get("groups"))), x.node)
    if call.op == "pixel_shuffle":
        return net.add(DepthToSpace(block=int(call.get("upscale_factor")), mode="crd"), x.node)
    return net.add(SpaceToDepth(block=int(call.get("downscale_factor")), mode="crd"), x.node)


_RESIZES: dict[str, Any] = {
    **{f"upsample_nearest{rank}d": "nearest" for rank in (1, 2, 3)},
    **{f"_upsample_nearest_exact{rank}d": "nearest_exact" for rank in (1, 2, 3)},
    **dict.fromkeys(("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), "linear"),
    "upsample_bicubic2d": "cubic",
}
"""The mode by operator; `nearest` reads at i / factor and rounds down, `nearest_exact` at the centres."""


_ROUNDINGS: dict[str, Any] = {"nearest": "floor", "nearest_exact": "round_prefer_ceil"}


def _resize(net: Network, call: Call) -> Value:
    """Return a resized image; given factors decide where numbers are read, and else the sizes do."""
    x = net.image(call.value("input" if call.get("self") is None else "self"))
    mode, corners = _RESIZES[call.op], bool(call.get("align_corners"))
    (size,) = (shape[2:] for shape in call.sizes if shape is not None)
    written = call.get("scale_factors") or [
        factor for name, factor in call.arguments.items() if name.startswith("scales") and factor is not None
    ]
    factors = [float(f) for f in written] or [n / m for n, m in zip(size, x.shape[2:], strict=True)]
    if all(factor.is_integer() for factor in factors) and mode in ("nearest", "linear") and not corners:
        scale = short_form([int(factor) for factor in factors])
        return net.add(Upsample(scale=scale, mode=mode), x.node)
    by_centre = mode != "nearest" and not corners
    out: dict[str, Any] = {"scale": short_form(factors)} if written and not corners else {"size": short_form(size)}
    layer = Resize(
        **out,
        mode=mode.removesuffix("_exact"),
        coordinates="align_corners" if corners else "half_pixel" if by_centre else "asymmetric",
        rounding=_ROUNDINGS.get(mode, "round_prefer_floor"),
    )
    return net.add(layer, x.node)


_COPIES = ("clone", "alias", "detach", "contiguous", "to", "_to_copy", "lift_fresh_copy", "dropout", "feature_dropout")

OPERATORS: dict[str, Convert] = {
    **dict.fromkeys(_COPIES, _same),
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), _view),
    "flatten": _flatten,
    "unflatten": _unflatten,
    **dict.fromkeys(("transpose", "t", "mT"), _transpose),
    "permute": _permute,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "cat": _concat,
    "stack": _stack,
    "slice": _slice,
    "slice_scatter": _slice_scatter,
    "copy": _copy,
    "narrow": _narrow,
    "select": _select,
    "index_select": _index_select,
    "index": _index,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), _split),
    **dict.fromkeys(("constant_pad_nd", "pad"), _pad),
    **{f"{name}{rank}d": _pad for name in _MODES for rank in (1, 2, 3)},
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"), _shuffled),
    **dict.fromkeys(_RESIZES, _resize),
}
"""The operators that move, cut, join and resize."""

"""What rearranges blocks of positions and resizes, of ONNX."""

from __future__ import annotations

from typing import Any, cast

from cnnspec.interop.importer.arithmetic import decimal
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.onnx_import.call import Call, Convert, place
from cnnspec.layers import Layer
from cnnspec.layers.axes import short_form
from cnnspec.layers.rearrange import DepthToSpace, SpaceToDepth
from cnnspec.layers.resize import Resize
from cnnspec.layers.shape import Upsample


def _rearranged(net: Network, call: Call) -> Value:
    cls = DepthToSpace if call.op == "DepthToSpace" else SpaceToDepth
    layer = cls(block=call.get("blocksize", 1), mode=cast(Any, call.get("mode", "DCR").lower()))
    return net.add(layer, net.image(call.value()).node)


_COORDINATES = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "half_pixel",
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
}


def _resize(net: Network, call: Call) -> Value:
    x = net.image(call.value())
    rank = len(x.shape)
    old = call.op == "Upsample" or call.opset < 11
    scales = call.setting("scales", 1 if old else 2)
    sizes = None if old else call.integers("sizes", 3)
    call.refuse("antialias", "exclude_outside")
    axes = [place(axis, rank) for axis in call.get("axes", range(rank))]
    mode = call.get("mode", "nearest")
    coordinates = "asymmetric" if old else call.get("coordinate_transformation_mode", "half_pixel")
    out: Any
    if sizes:
        policy = call.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratios = [size / x.shape[axis] for axis, size in zip(axes, sizes, strict=True)]
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            sizes = [int(x.shape[axis] * ratio + 0.5) for axis in axes]
        full = dict(zip(axes, sizes, strict=True))
        wanted = [full.get(axis, n) for axis, n in enumerate(x.shape)]
        out = {"size": short_form(wanted[2:])}
        unit = wanted[:2] == list(x.shape[:2])
    else:
        by_axis = dict(zip(axes, scales or (), strict=True))
        factors = [float(by_axis.get(axis, 1.0)) for axis in range(rank)]
        out = {"scale": short_form([decimal(n) for n in factors[2:]])}
        unit = factors[:2] == [1.0, 1.0]
        wholes = [(n * scale).is_integer() for n, scale in zip(x.shape[2:], factors[2:], strict=True)]
        if coordinates == "align_corners" and not all(wholes):
            raise Unsupported("`coordinate_transformation_mode` is align_corners, by a factor that gives no whole size")
    if not unit:
        raise Unsupported("it resizes the batch or the channels")
    if coordinates not in _COORDINATES:
        raise Unsupported(f"`coordinate_transformation_mode` is {coordinates}")
    if coordinates == "pytorch_half_pixel" and 1 in (sizes or ()):
        raise Unsupported("`coordinate_transformation_mode` is pytorch_half_pixel, to one element")
    rounding = "floor" if old else call.get("nearest_mode", "round_prefer_floor")
    simple = _upsample(mode, coordinates, rounding, out.get("scale"))
    if simple is not None:
        return net.add(simple, x.node)
    layer = Resize(
        **out,
        mode=cast(Any, {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic"}[mode]),
        coordinates=cast(Any, _COORDINATES[coordinates]),
        rounding=cast(Any, rounding),
        cubic_coeff=call.decimal("cubic_coeff_a", -0.75),
    )
    return net.add(layer, x.node)


def _upsample(mode: str, coordinates: str, rounding: str, scale: Any) -> Layer | None:
    """Return the layer for whole factors, whose nearest number is the same by every rule but those that round up."""
    factors = [] if scale is None else list(scale) if isinstance(scale, tuple) else [scale]
    if not factors or any(n < 1 or n != int(n) for n in factors):
        return None
    whole = short_form([int(n) for n in factors])
    by_centres = _COORDINATES[coordinates] == "half_pixel"
    if mode == "nearest" and ((by_centres and rounding.startswith("round")) or (coordinates, rounding) == _BY_CORNERS):
        return Upsample(scale=whole)
    return Upsample(scale=whole, mode="linear") if mode == "linear" and by_centres else None


_BY_CORNERS = ("asymmetric", "floor")


OPERATORS: dict[str, Convert] = {
    "DepthToSpace": _rearranged,
    "SpaceToDepth": _rearranged,
    "Resize": _resize,
    "Upsample": _resize,
}
"""The operators that resize."""

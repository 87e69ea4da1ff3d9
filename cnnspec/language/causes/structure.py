"""Changes of the structure that people would make: a layer too many or too few, another `from`, another input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnspec.diagnostics import Edit, Label
from cnnspec.graph.graph import Node
from cnnspec.language.causes import places
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.chain import clash, difference, path
from cnnspec.language.causes.conventions import Conventions
from cnnspec.language.causes.fields import cause, turned
from cnnspec.language.causes.network import Change, Network
from cnnspec.language.causes.places import Place
from cnnspec.language.causes.written import Written
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, Shape, find
from cnnspec.layers.conv import Conv, Weighted
from cnnspec.layers.merge import Add, Matmul
from cnnspec.layers.pool import Pool
from cnnspec.wording import format_shape


def removals(network: Network, one: Written) -> Iterator[Candidate]:
    """Yield an entry as taken out, if it is a pool, enlarges its input or flattens what has to be an image."""
    layer = network.placed[one.names[0]].layer
    flattens = one.kind in ("flatten", "global_avg_pool", "global_max_pool") and network.fault.code == "needs-image"
    place = network.places.of(one.span)
    edit = places.without(place) if place is not None else None
    if place is None or edit is None or not (isinstance(layer, Pool) or flattens or one.kind == "upsample"):
        return
    node = network.by_name.get(one.names[0])
    previous = network.by_name.get(node.inputs[0]) if node is not None else None
    doubled = previous is not None and isinstance(previous.layer, Pool) and _beside(network, place, previous)
    score = 0.6 if doubled else 0.9 if flattens else 1.9 if getattr(layer, "stride", None) == 1 else 1.4
    change = Change(removed=frozenset(one.names)) if network.fault.name not in one.names else None
    yield Candidate(score, f"take out {one.title}", (edit,), change, cause(network, one, {}))


def _beside(network: Network, place: Place, node: Node) -> bool:
    """Return whether the entry of a node stands in the same list."""
    other = network.places.of(network.placed[node.name].entry.span) if node.name in network.placed else None
    return other is not None and other.items is place.items


# Layers at the end of a branch


def appended(network: Network, rules: Conventions) -> Iterator[Candidate]:
    """Yield layers at the end of a branch that bring it to the shape of another: a projection, `upsample`, `crop`."""
    fault, shapes, layer = network.fault, network.shapes, network.layer
    if layer is None:
        return
    for i, branch in enumerate(fault.branches):
        others = {shapes.index(shape) for shape in shapes if shape != shapes[i]}
        for j in others or ({1 - i} if isinstance(layer, Matmul) else ()):
            if len(shapes[i]) == len(shapes[j]):
                options = _alike(network, rules, i, j, bool(layer.joins_channels))
            else:
                options = _other_rank(network, i, j)
            for score, texts, layers in options:
                edit = _behind(network.branch(i), texts)
                if edit is None:
                    continue
                shown = " and ".join(f"`{item}`" for item in texts)
                title = f"add {shown} at the end of `{branch}`"
                yield Candidate(score, title, (edit,), Change(appended={i: layers}), _at_difference(network, i, j))


def _at_difference(network: Network, i: int, j: int) -> Label | None:
    """Return a label at the layer that makes two branches differ."""
    node = difference(network, j, i)
    return Label(node.span, turned(node)) if node is not None and node.span is not None else None


def _behind(items: YamlNode | None, texts: tuple[str, ...]) -> Edit | None:
    """Return the edit that puts items at the end of a branch; None where that cannot be done in place."""
    if items is None or not items.is_list or (len(texts) > 1 and not items.span.text.startswith("[")):
        return None
    return places.behind(items, ", ".join(texts))


Option = tuple[float, tuple[str, ...], tuple[Layer, ...]]


def _alike(network: Network, rules: Conventions, i: int, j: int, joins_channels: bool) -> Iterator[Option]:
    """Yield what brings branch i to the shape of branch j, where both have as many axes."""
    a, b = network.shapes[i], network.shapes[j]
    if len(a) == 1:
        yield 1.6, (f"dense: {b[0]}",), (_layer("dense", units=b[0]),)
        return
    is_identity = not network.elements(i)
    is_sum = isinstance(network.layer, Add)
    channels = b[0] if clash(network)[0] else a[0]
    if isinstance(network.layer, Matmul):
        if i == 1 and len(a) == 3 and b[-1] == a[-1]:
            axes = "[channels, width, height]"
            yield 1.0, (f"permute: {axes}",), (_layer("permute", axes=["channels", "width", "height"]),)
        return
    steps = {-(-n // m) for n, m in zip(a[1:], b[1:], strict=True)}
    step = min(steps)
    if len(steps) == 1 and all(-(-n // step) == m for n, m in zip(a[1:], b[1:], strict=True)):
        if channels != a[0] or (step > 1 and not joins_channels):
            usual = 1.25 if step == 1 and _others_are_identities(network) else 0.95
            score = (usual if is_identity and is_sum else 1.9) + (0.0 if channels != a[0] else 0.6)
            fields, made = _projection(network, j, channels, step)
            yield score, (f"conv: {fields}",), (made,)
        elif step > 1:
            yield 1.7, (f"max_pool: {step}",), (_layer("max_pool", kernel=step),)
    if channels != a[0]:
        return
    if a[1:] != b[1:] and all(m % n == 0 for n, m in zip(a[1:], b[1:], strict=True)):
        factors = [m // n for n, m in zip(a[1:], b[1:], strict=True)]
        factor = factors[0] if len(set(factors)) == 1 else factors
        one_position = all(n == 1 for n in a[1:])
        if one_position:
            text = f"resize: {_like(network, j, b)}"
            yield 0.9, (text,), (_layer("resize", size=b[1:]),)
        else:
            yield (
                (1.05 if network.source(j) is not None else 1.7),
                (f"upsample: {factor}",),
                (_layer("upsample", scale=factor),),
            )
    if a[1:] != b[1:] and all(n >= m for n, m in zip(a[1:], b[1:], strict=True)):
        score = 0.8 if rules.has("crop") else 1.3 if rules.preserving(None) < 0.5 else 1.8
        yield score, (f"crop: {_like(network, j, b)}",), (_layer("crop", size=b[1:]),)


def _others_are_identities(network: Network) -> bool:
    """Return whether another sum of the text has a branch without layers, and fits."""
    own = network.placed[network.fault.name].entry.span
    return any(
        one.kind == Add.kind
        and one.span != own
        and one.names[0] in network.all_shapes
        and one.entry.config is not None
        and any(item.is_list and not item.elements() for _, item in one.entry.config.items())
        for one in network.written.values()
    )


def _other_rank(network: Network, i: int, j: int) -> Iterator[Option]:
    """Yield what brings branch i to the shape of branch j, where they have other numbers of axes."""
    a, b = network.shapes[i], network.shapes[j]
    if len(a) == 1:
        ones = [a[0], *[1] * (len(b) - 1)]
        layers = (_layer("reshape", shape=ones), _layer("resize", size=b[1:]))
        yield 1.0, (f"reshape: {ones}", f"resize: {_like(network, j, b)}"), layers
    elif len(b) == 1 and a[0] == b[0]:
        yield 0.9, ("global_avg_pool",), (_layer("global_avg_pool"),)


def _layer(kind: str, **fields: Any) -> Layer:
    cls = find(kind)
    assert cls is not None
    return cls(**fields)


def _like(network: Network, j: int, shape: Shape) -> str:
    """Return the size of a branch as `crop` and `resize` take it: that of a layer with a name, or the numbers."""
    name = network.fault.reads[j]
    node = network.by_name[name]
    placed = network.placed.get(name)
    if not node.inputs:
        return f"{{like: {name}}}"
    scope = placed.entry.scope if placed else None
    prefix = scope.prefix if scope else ""
    here = network.placed[network.fault.name].entry.scope
    if placed and placed.entry.get("name") is not None and prefix == here.prefix and not here.open_blocks:
        return f"{{like: {name.removeprefix(prefix)}}}"
    return str(list(shape[1:]))


def _projection(network: Network, j: int, channels: int, step: int) -> tuple[str, Layer]:
    """Return a 1×1 convolution as the text writes it, with the norm and the expressions of the other branch."""
    made = _layer("conv", channels=channels, kernel=1, stride=step)
    texts = {"channels": str(channels), "kernel": "1", **({"stride": str(step)} if step > 1 else {})}
    here = network.placed[network.fault.name].entry.scope
    for node in reversed(path(network, None, network.fault.reads[j])):
        if not isinstance(node.layer, Conv) or node.name not in network.placed:
            continue
        entry = network.placed[node.name].entry
        if entry.scope.open_blocks != here.open_blocks:
            break
        if node.layer.channels == channels and texts["channels"].isdecimal():
            texts["channels"] = _text(entry.get("channels")) or texts["channels"]
        if node.layer.stride == step > 1 and texts["stride"].isdecimal():
            texts["stride"] = _text(entry.get("stride")) or texts["stride"]
        if "norm" not in texts and (norm := _text(entry.get("norm"))):
            texts["norm"] = norm
        if node.name in {name for k, name in enumerate(network.fault.reads) if k != j}:
            break
    return "{" + ", ".join(f"{key}: {text}" for key, text in texts.items()) + "}", made


def _text(node: YamlNode | None) -> str:
    return node.span.text if node is not None and node.span.line == node.span.end_line else ""


# Where a branch starts


def other_sources(network: Network) -> Iterator[Candidate]:
    """Yield other layers with names for a branch that begins with `from`."""
    fault = network.fault
    entry = network.placed[fault.name].entry
    for i, branch in enumerate(fault.branches):
        source, current = network.source(i), network.start(i)
        if source is None or current is None or not isinstance(source.value, str) or "$" in source.value:
            continue
        before = network.all_shapes[current]
        way = path(network, network.by_name[current], fault.reads[i])
        starts = frozenset({way[1].name if len(way) > 1 else fault.name})
        label = Label(source.span, f"is {format_shape(before)}")
        for name, target in network.known_names().items():
            if network.all_shapes[target] == before:
                continue
            score = 0.85 if _stem(name) == _stem(source.value) else 2.1
            title = f"begin `{branch}` of `{entry.kind}` with `from: {name}`"
            change = Change(moved={current: target}, starts=starts)
            yield Candidate(score, title, (Edit(source.span, name),), change, label)


def other_merges(network: Network) -> Iterator[Candidate]:
    """Yield `concat` in place of a sum whose branches differ in their channels alone."""
    fault = network.fault
    if isinstance(network.layer, Add) and clash(network) == (True, False) and len(network.shapes[0]) > 1:
        span = network.placed[fault.name].entry.span
        joined = Change(layers={fault.name: _layer("concat")})
        yield Candidate(1.3, f"join the branches of `{fault.name}` by `concat`", (Edit(span, "concat"),), joined)


def upsampled(network: Network, ratio: int) -> Iterator[Candidate]:
    """Yield `upsample` before a merge, or before the use of a block that it stands in."""
    entry = network.placed[network.fault.name].entry
    if ratio < 2 or not any(network.source(i) is not None for i in range(len(network.fault.branches))):
        return
    spans = (entry.span, *(label.span for label in entry.scope.stack))
    around = [place for span in spans for place in network.places.around(span)]
    behind = [Place(items, position - 1) for items, position in around if position]  # what enlarges, then convolves
    found = {place.node.span: place for place in (*around, *behind)}
    for i, place in enumerate(found.values()):
        edit = places.before(place, f"upsample: {ratio}")
        if edit is not None and "repeat" not in place.node.keys:
            kind = next(iter(place.node.keys), place.node.span.text)
            title = f"put `upsample: {ratio}` before `{kind}` in line {place.node.span.line}"
            yield Candidate(1.3 - 0.02 * i, title, (edit,), None)


def _stem(name: str) -> str:
    return name.rstrip("0123456789").rstrip("_-.")


# The layer before one that does not fit


def inserted(network: Network) -> Iterator[Candidate]:
    """Yield `flatten` and `global_avg_pool` before a layer that takes a vector."""
    fault = network.fault
    place = network.places.of(network.placed[fault.name].entry.span)
    if fault.code != "needs-vector" or place is None:
        return
    entry, layer = network.placed[fault.name].entry, network.layer
    units = entry.config
    if isinstance(layer, Weighted) and units is not None and not units.is_mapping:
        text = f"conv: {{channels: {units.span.text}, kernel: 1}}"
        yield Candidate(1.15, f"put `{text}` in place of `{fault.name}`", (Edit(place.node.span, text),), None)
    for score, kind in ((1.0, "flatten"), (1.1, "global_avg_pool")):
        edit = places.before(place, kind)
        if edit is not None:
            title = f"put `{kind}` before `{fault.name}`"
            yield Candidate(score, title, (edit,), Change(appended={0: (_layer(kind),)}))

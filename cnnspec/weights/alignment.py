"""Assignment of tensors: two lists of named shapes, matched by name, or by order among those of one shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cnnspec.graph.selection import layer_of, prefixes
from cnnspec.layers import Shape
from cnnspec.weights.match import SHOWN
from cnnspec.weights.naming import ROLES
from cnnspec.wording import format_shape

_FEW = 6
"""The most names on one line of a message."""

Shapes = tuple[tuple[str, Shape], ...]


@dataclass
class Module:
    """The tensors of one layer: those with one prefix, by role; a tensor of no known role is a module of its own."""

    path: str
    names: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    @property
    def exact(self) -> Shapes:
        """The shapes of its tensors."""
        return tuple(sorted(self.shapes.items()))

    @property
    def loose(self) -> Shapes:
        """The shapes without axes of size one, in which dense layers and 1×1 convolutions agree."""
        return tuple((role, _squeezed(shape)) for role, shape in self.exact)

    @property
    def family(self) -> tuple[object, ...]:
        """The kind of layer, by its tensors. Files sorted by name mix the kinds, so order counts within one kind."""
        return "running_mean" in self.shapes, len(self.shapes.get("weight", ())), "bias" in self.shapes


def align(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> tuple[dict[str, str], list[str]]:
    """Return the found name for each expected one, in the order expected, and the faults, one or more lines each.

    Equal names are assigned to each other, and so are a tensor of no known role and the only array of the layer that is
    called so, `block.gamma` and `block.gamma.weight`. All others are grouped into layers by their prefix; layers of one
    shape are assigned in their order, provided that both sides have the same number of them and no evidence contradicts
    the order. Shapes are one but for axes of size one, and for a convolution over the whole input that is a dense layer
    in the spec. The assignment is complete when there are no faults.
    """
    same = [name for name in expected if name in found]
    wrong = [name for name in same if _squeezed(expected[name]) != _squeezed(found[name])]
    faults = _listed([f"{n}: {_by(found[n])} in the file, {_by(expected[n])} in the spec" for n in wrong])
    mapping = _standing_alone(expected, found) | {name: name for name in same}
    targets = _modules({name: shape for name, shape in expected.items() if name not in mapping})
    sources = _modules({name: shape for name, shape in found.items() if name not in mapping.values()})
    groups = _groups(sources, targets)
    equal = [(theirs, ours) for theirs, ours in groups if len(theirs) == len(ours)]
    unordered = _unordered(sources, targets, equal)
    in_doubt = [(theirs, ours) for theirs, ours in equal if _spread(theirs) & unordered]
    uneven = [(theirs, ours) for theirs, ours in groups if theirs and ours and len(theirs) != len(ours)]
    over = [module for theirs, ours in groups if not ours for module in theirs]
    empty = [module for theirs, ours in groups if not theirs for module in ours]
    alike = {module.shapes.get("weight"): module for module in reversed(over)}
    faults += _listed(
        [_both(f"{len(theirs)} in the file, {len(ours)} in the spec", theirs, ours) for theirs, ours in uneven]
        + [_both(f"{len(ours)}, which the file has in another order", theirs, ours) for theirs, ours in in_doubt]
    )
    faults += _listed([f"{_label(m)} is in the file, and has no counterpart in the spec" for m in over])
    faults += _listed(
        [f"{_label(m)} is in the spec, and has no counterpart in the file{_almost(m, alike)}" for m in empty]
    )
    if faults:
        return {}, [*faults, *_help(sources, targets, bool(wrong or uneven or in_doubt or empty))]
    for theirs, ours in equal:
        for source, target in zip(theirs, ours, strict=True):
            mapping.update((target.names[role], source.names[role]) for role in target.names)
    return {name: mapping[name] for name in expected}, []


def _standing_alone(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> dict[str, str]:
    """Return the tensors that are called as the layer whose only array they are, by the names of these arrays."""
    counts = Counter(layer_of(name) for name in expected)
    return {
        name: layer
        for name, shape in expected.items()
        if counts[layer := layer_of(name)] == 1 and layer in found and _squeezed(found[layer]) == _squeezed(shape)
    }


Group = tuple[list[Module], list[Module]]


def _modules(shapes: Mapping[str, Shape]) -> list[Module]:
    """Return the layers, in the order of their first tensors."""
    found: dict[str, Module] = {}
    for name, shape in shapes.items():
        prefix, _, role = name.rpartition(".")
        path, role = (prefix, role) if role in ROLES else (name, "weight")
        module = found.setdefault(path, Module(path))
        module.names[role], module.shapes[role] = name, shape
    return list(found.values())


def _groups(sources: Sequence[Module], targets: Sequence[Module]) -> list[Group]:
    """Return the layers of equal shape on both sides; apart by axes of size one where the numbers then agree."""
    found: dict[Shapes, Group] = {}
    for side, modules in enumerate((sources, targets)):
        for module in modules:
            found.setdefault(module.loose, ([], []))[side].append(module)
    _join_whole_windows(found)
    groups = []
    for theirs, ours in found.values():
        exact = Counter(module.exact for module in theirs)
        if exact == Counter(module.exact for module in ours):
            groups += [([m for m in theirs if m.exact == e], [m for m in ours if m.exact == e]) for e in exact]
        else:
            groups.append((theirs, ours))
    return groups


def _join_whole_windows(found: dict[Shapes, Group]) -> None:
    """Join convolutions of the file with dense layers of the spec: one over the whole of its input is one of these."""
    missing = {shapes for shapes, (theirs, _) in found.items() if not theirs}
    for shapes, (theirs, ours) in [*found.items()]:
        if not ours and (dense := _flat(shapes)) in missing:
            found[dense][0].extend(theirs)
            del found[shapes]


def _unordered(sources: Sequence[Module], targets: Sequence[Module], pairs: Iterable[Group]) -> set[str]:
    """Return the prefixes of the file whose parts are not in the order of the spec.

    The assignment of layers of different shapes is certain; where it crosses, that of layers of one shape may, too.
    """
    place = {id(target): i for i, target in enumerate(targets)}
    at = {id(s): place[id(t)] for theirs, ours in pairs for s, t in zip(theirs, ours, strict=True)}
    best: dict[tuple[str, tuple[object, ...]], tuple[int, str, int]] = {}
    found = set()
    for module in sources:
        if id(module) not in at:
            continue
        position, steps = at[id(module)], prefixes(module.path)
        for above, part in pairwise(["", *steps]):
            # The furthest position of its parts, the part at that position, and the furthest position of the others.
            top, leader, other = best.get((above, module.family), (-1, part, -1))
            if position < (other if part == leader else top):
                found.add(above)
            if part == leader:
                top = max(top, position)
            elif position > top:
                top, leader, other = position, part, top
            else:
                other = max(other, position)
            best[above, module.family] = top, leader, other
    return found


def _spread(modules: Sequence[Module]) -> set[str]:
    """Return the prefixes below which these layers are in more than one part."""
    parts: dict[str, set[str]] = {}
    for module in modules:
        steps = prefixes(module.path)
        for above, part in pairwise(["", *steps]):
            parts.setdefault(above, set()).add(part)
    return {above for above, found in parts.items() if len(found) > 1}


# Messages


def _help(sources: Sequence[Module], targets: Sequence[Module], rename: bool) -> list[str]:
    theirs, ours = (Counter(module.loose for module in side) for side in (sources, targets))
    lines = []
    if surplus := theirs - ours:
        spare = [] if ours - theirs else _spare(sources, surplus)  # ignoring tensors does not supply missing ones
        options = " ".join(f"--ignore {name}" for name in spare) if 0 < len(spare) <= _FEW else "--ignore NAME"
        lines.append(f"  help: {options} leaves out what the spec does not have")
    if rename:
        lines.append(
            "  help: --rename OLD=NEW settles a layer: OLD begins its names in the file, NEW is the layer of the spec"
        )
    return lines


def _spare(modules: Sequence[Module], surplus: Counter[Shapes]) -> list[str]:
    """Return the fewest prefixes that hold exactly the surplus; none where the choice is not unique."""
    held: dict[str, Counter[Shapes]] = {}
    for module in modules:
        for prefix in prefixes(module.path):
            held.setdefault(prefix, Counter())[module.loose] += 1
    taken: dict[str, None] = {}
    left = surplus.copy()

    def inside(name: str) -> bool:
        return any(prefix in taken for prefix in prefixes(name))

    for name in sorted(held, key=lambda name: (-held[name].total(), name.count("."))):
        if not inside(name) and all(left[shapes] >= n for shapes, n in held[name].items()):
            taken[name] = None
            left -= held[name]
    chosen = {frozenset(held[name].items()) for name in taken}
    rivals = any(frozenset(counts.items()) in chosen for name, counts in held.items() if not inside(name))
    return [] if left or rivals else [name for name in held if name in taken]


def _almost(target: Module, alike: Mapping[Shape | None, Module]) -> str:
    """Return the differences from a layer of the file whose weight has the same shape."""
    source = alike.get(target.shapes.get("weight"))
    if source is None:
        return ""
    less = [role for role in target.shapes if role not in source.shapes]
    more = [role for role in source.shapes if role not in target.shapes]
    parts = [f"{'and' if i else 'with'} no {role}" for i, role in enumerate(less)]
    parts += [f"{'and' if i or less else 'with'} a {role}" for i, role in enumerate(more)]
    return f"; `{source.path}` has this weight, {' '.join(parts)}" if parts else ""


def _both(what: str, theirs: Sequence[Module], ours: Sequence[Module]) -> str:
    return f"{what}, of {_shapes(theirs[0])}:\n      file: {_few(theirs)}\n      spec: {_few(ours)}"


def _few(modules: Sequence[Module]) -> str:
    more = len(modules) - _FEW
    return ", ".join(m.path or "the top level" for m in modules[:_FEW]) + (f" and {more:,} more" if more > 0 else "")


def _label(module: Module) -> str:
    return f"{module.path or 'the top level'} ({_shapes(module)})"


def _shapes(module: Module) -> str:
    return ", ".join(f"{role} {_by(module.shapes[role])}" for role in ROLES if role in module.shapes)


def _listed(faults: list[str]) -> list[str]:
    more = len(faults) - SHOWN
    return [*(f"  {fault}" for fault in faults[:SHOWN]), *([f"  … and {more:,} more"] if more > 0 else [])]


def _squeezed(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


def _flat(shapes: Shapes) -> Shapes:
    """Return the shapes with one axis for all that a number of the output is computed from, in their order."""
    return tuple((role, shape if role != "weight" else (*shape[:1], math.prod(shape[1:]))) for role, shape in shapes)


def _by(shape: Shape) -> str:
    return format_shape(shape) or "one number"

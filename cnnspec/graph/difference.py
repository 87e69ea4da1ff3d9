"""The difference of two specs in meaning: their layers, aligned by structure, and what stands around the networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from cnnspec.graph.alignment import Pair, align, fields_of, given_name
from cnnspec.graph.costs import Row, Summary, Totals, summarize
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.settings import Choice
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train

Kind = Literal["added", "removed", "changed", "moved", "renamed", "renumbered", "affected"]
"""What became of a layer. One that is changed may also be moved or renamed; `affected` ones have another shape or cost
because of others, and `renumbered` ones another number in the name that they were not given."""


class Change(NamedTuple):
    """A value before and after."""

    before: Any
    after: Any


class Placed(NamedTuple):
    """A layer in its network, and its costs."""

    node: Node
    row: Row


@dataclass(frozen=True)
class LayerChange:
    """One layer of the first network, of the second, or of both, and what differs."""

    before: Placed | None
    after: Placed | None
    fields: Mapping[str, Change] = field(default_factory=dict)
    """The fields that differ and do not mean the same; `kind` where that is another one, `reads` for the inputs of a
    layer that is connected otherwise, `share` for the layer whose weights it uses."""
    moved: bool = False
    """Whether it stands in another place of the order."""

    @property
    def kind(self) -> Kind | None:
        """What became of it; None for a layer that is as before."""
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        if self.fields:
            return "changed"
        if self.moved:
            return "moved"
        if self.is_renamed:
            return "renamed"
        if self.is_affected:
            return "affected"
        return "renumbered" if self.before.node.name != self.after.node.name else None

    @property
    def is_renamed(self) -> bool:
        """Whether a part of the name differs that the author gave."""
        both = self.before is not None and self.after is not None
        return both and given_name(self.before.node) != given_name(self.after.node)  # type: ignore[union-attr]

    @property
    def is_affected(self) -> bool:
        """Whether the shape, the parameters or the MACs differ."""
        if self.before is None or self.after is None:
            return True
        return _figures(self.before.row) != _figures(self.after.row)

    @property
    def has_other_parameters(self) -> bool:
        """Whether the number of parameters differs."""
        return self.before is None or self.after is None or self.before.row.parameters != self.after.row.parameters


def _figures(row: Row) -> tuple[Any, ...]:
    return row.output, row.parameters, row.macs


@dataclass(frozen=True)
class Difference:
    """What differs between two specs; None stands for a spec that is not there."""

    before: Spec | None
    after: Spec | None
    layers: tuple[LayerChange, ...]
    """The layers that are not as before, in the order of the second network, those that are removed in their places."""
    settings: Mapping[str, Change]
    """What differs around the network, by its key in a spec: `input.scale`, `classes`, `train.epochs`."""
    totals: Mapping[str, Change]
    """The totals of both networks by name; of a spec that is not there, 0."""

    @property
    def is_empty(self) -> bool:
        """Whether both mean the same."""
        return not self.layers and not self.settings and (self.before is None) == (self.after is None)

    @cached_property
    def by_kind(self) -> dict[Kind, list[LayerChange]]:
        """The layers by what became of them."""
        found: dict[Kind, list[LayerChange]] = {}
        for change in self.layers:
            if change.kind is not None:
                found.setdefault(change.kind, []).append(change)
        return found


def compare(before: Spec | None, after: Spec | None, batch: int = 1) -> Difference:
    """Return what differs between two specs; memory is for a batch of samples."""
    summaries = [
        summarize(spec.graph, batch, train=spec.train, trained=spec.trained_graph) if spec else None
        for spec in (before, after)
    ]
    a, b = (_placed(spec, summary) for spec, summary in zip((before, after), summaries, strict=True))
    pairs = align([p.node for p in a], [p.node for p in b])
    moved = _moved(a, b, pairs)
    matching = _Matching(before, after, a, b, pairs, moved)
    layers = tuple(change for change in _in_order(a, b, pairs, moved, matching) if change.kind is not None)
    settings = dict(_settings(before, after, matching)) if before and after else {}
    return Difference(before, after, layers, settings, _totals(summaries))


def _placed(spec: Spec | None, summary: Summary | None) -> list[Placed]:
    """Return the layers of a network, without its inputs."""
    if spec is None or summary is None:
        return []
    return [Placed(node, row) for node, row in zip(spec.graph.nodes, summary.rows, strict=True) if node.inputs]


def _totals(summaries: Iterable[Summary | None]) -> dict[str, Change]:
    found = [summary.totals if summary else Totals(*[0] * len(Totals._fields)) for summary in summaries]
    figures = (*Totals._fields, "inference_bytes")
    return {name: Change(*(getattr(totals, name) for totals in found)) for name in figures}


def _moved(a: Sequence[Placed], b: Sequence[Placed], pairs: Iterable[Pair]) -> list[Pair]:
    """Return the layers that correspond, but stand in another order: of one name, or the only ones of their fields."""
    left_a, left_b = _unpaired(a, b, pairs)
    found: list[Pair] = []
    for key in (_by_name, _by_fields):
        of_a, of_b = _unique(a, left_a, key), _unique(b, left_b, key)
        here = [Pair(i, of_b[what]) for what, i in of_a.items() if what in of_b]
        found += here
        left_a -= {pair.before for pair in here}
        left_b -= {pair.after for pair in here}
    return found


def _unpaired(a: Sequence[Placed], b: Sequence[Placed], pairs: Iterable[Pair]) -> tuple[set[int], set[int]]:
    pairs = [*pairs]
    return {*range(len(a))} - {p.before for p in pairs}, {*range(len(b))} - {p.after for p in pairs}


def _by_name(placed: Placed) -> Any:
    node = placed.node
    return (node.kind, node.name) if given_name(node) == node.name else None


def _by_fields(placed: Placed) -> Any:
    """Return the fields of a layer with parameters; others are too common to be recognised by them."""
    node = placed.node
    return (node.kind, repr(fields_of(node)), placed.row.parameters) if node.parameters else None


def _unique(side: Sequence[Placed], indices: set[int], key: Any) -> dict[Any, int]:
    """Return the layers by a key that only they have."""
    found: dict[Any, list[int]] = {}
    for i in sorted(indices):
        if (what := key(side[i])) is not None:
            found.setdefault(what, []).append(i)
    return {what: places[0] for what, places in found.items() if len(places) == 1}


class _Matching:
    """Which names of the second network stand for those of the first; layers that have moved connect nothing."""

    def __init__(
        self,
        before: Spec | None,
        after: Spec | None,
        a: Sequence[Placed],
        b: Sequence[Placed],
        pairs: Iterable[Pair],
        moved: Iterable[Pair],
    ) -> None:
        self.graphs = (before.graph if before else None, after.graph if after else None)
        self.in_place = {a[i].node.name: b[j].node.name for i, j in pairs}
        inputs, others = (graph.inputs if graph else () for graph in self.graphs)
        for i, name in enumerate(inputs):
            if name in others or i < len(others):
                self.in_place[name] = name if name in others else others[i]
        self.name_of = self.in_place | {a[i].node.name: b[j].node.name for i, j in moved}
        self.matched = {*self.in_place.values()}
        self._origins: tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]] = ({}, {})

    def reads(self, before: Node, after: Node) -> Change | None:
        """Return the inputs of a layer that is connected otherwise, and not only by layers put between or taken out."""
        old, new = [self.origins(0, name) for name in before.inputs], [self.origins(1, name) for name in after.inputs]
        if len(old) == len(new) and all(x & y or x == y for x, y in zip(old, new, strict=True)):
            return None
        return Change(before.inputs, after.inputs)

    def share(self, before: Node, after: Node) -> Change | None:
        """Return the layers whose weights a layer uses, where these are others."""
        old, new = (
            graph.shares.get(node.name) if graph else None
            for graph, node in zip(self.graphs, (before, after), strict=True)
        )
        return None if (self.name_of.get(old, old) if old else None) == new else Change(old, new)

    def origins(self, side: int, name: str) -> frozenset[str]:
        """Return the nearest layers before, itself included, that stay in place, by their names in the second."""
        graph, known = self.graphs[side], self._origins[side]
        assert graph is not None
        waiting = [name]
        while waiting:
            here = waiting[-1]
            common = self.in_place.get(here) if side == 0 else here if here in self.matched else None
            inputs = graph.by_name[here].inputs
            missing = [] if common is not None else [other for other in inputs if other not in known]
            if missing:
                waiting += missing
                continue
            known[here] = frozenset([common]) if common is not None else frozenset().union(*(known[o] for o in inputs))
            waiting.pop()
        return known[name]


def _in_order(
    a: Sequence[Placed], b: Sequence[Placed], pairs: Sequence[Pair], moved: Sequence[Pair], matching: _Matching
) -> Iterator[LayerChange]:
    """Yield every layer, those of the first network alone before what follows them."""
    left_a, _ = _unpaired(a, b, [*pairs, *moved])
    before_of = {j: i for i, j in pairs}
    moved_from = {j: i for i, j in moved}
    done = 0
    for j, placed in enumerate(b):
        if j in before_of:
            yield from (LayerChange(a[i], None) for i in range(done, before_of[j]) if i in left_a)
            done = before_of[j] + 1
        i = before_of.get(j, moved_from.get(j))
        if i is None:
            yield LayerChange(None, placed)
        else:
            fields = changed_fields(a[i].node, placed.node)
            if j in before_of and (reads := matching.reads(a[i].node, placed.node)) is not None:
                fields["reads"] = reads
            if (share := matching.share(a[i].node, placed.node)) is not None:
                fields["share"] = share
            yield LayerChange(a[i], placed, fields, moved=j in moved_from)
    yield from (LayerChange(a[i], None) for i in range(done, len(a)) if i in left_a)


_WINDOW_FIELDS = {"kernel", "stride", "padding", "dilation"}
"""Fields that mean the same where the windows resolve to the same, such as `padding: same` and the number of it."""


def changed_fields(before: Node, after: Node) -> dict[str, Change]:
    """Return the fields of two layers that differ and do not mean the same, and `kind` for layers of two kinds."""
    if before.layer == after.layer:
        return {}
    old, new = fields_of(before), fields_of(after)
    same = _WINDOW_FIELDS if before.windows and _resolved(before) == _resolved(after) else set()
    if same and before.windows == after.windows:
        same = same | {"rounding", "output_padding"}
    rank = len(before.shape) - 1
    found = {"kind": Change(before.kind, after.kind)} if before.kind != after.kind else {}
    common = [name for name in (*old, *(name for name in new if name not in old)) if name not in same]
    for name in common:
        if found and not (name in old and name in new):
            continue  # the fields of another kind
        change = Change(old.get(name), new.get(name))
        if not _mean_the_same(*change, rank):
            found[name] = change
    return found


def _resolved(node: Node) -> list[Any]:
    """Return the windows without the number of their positions, which depends on the input."""
    return [window._replace(out=0) for window in node.windows]


def _mean_the_same(before: Any, after: Any, rank: int) -> bool:
    """Return whether two values of a field are equal; one number for every axis is as good as a list of it."""
    if {type(before), type(after)} == {int, list}:
        before, after = ([value] * rank if isinstance(value, int) else value for value in (before, after))
    return bool(before == after)


def _settings(before: Spec, after: Spec, matching: _Matching) -> Iterator[tuple[str, Change]]:
    several = not (before.graph.has_one_of_each and after.graph.has_one_of_each)
    old, new = (dict(_flat(spec, several)) for spec in (before, after))
    if not (_ends_in_output(before.graph) and _ends_in_output(after.graph)):
        nodes = {name: node.name for name, node in before.graph.output_nodes.items()}
        old |= {f"outputs.{name}": matching.name_of.get(node, node) for name, node in nodes.items()}
        new |= {f"outputs.{name}": node.name for name, node in after.graph.output_nodes.items()}
    for name in (*old, *(name for name in new if name not in old)):
        change = Change(old.get(name), new.get(name))
        if change.before != change.after:
            yield name, change


def _ends_in_output(graph: Graph) -> bool:
    """Return whether the last layer is the only output, as where a spec names none."""
    return graph.outputs == (graph.nodes[-1].name,) and not graph.aliases


def _flat(spec: Spec, several: bool) -> Iterator[tuple[str, Any]]:
    """Yield what stands around the network, by keys as in a spec with dots between them."""
    for name, given in spec.inputs.items():
        yield from _leaves(f"inputs.{name}" if several else "input", given)
    for name, classes in spec.classes_of.items():
        yield f"classes.{name}" if several else "classes", list(classes)
    yield "init", spec.init
    yield from _leaves("train", spec.train or Train())
    for example in spec.examples:
        values = {"inputs": example.inputs, "outputs": example.outputs}
        arrays = {key: {name: given.nested() for name, given in value.items()} for key, value in values.items()}
        yield f"examples.{example.name}", {**arrays, "tolerance": example.tolerance}


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values of a mapping of the spec by their keys; of a choice its kind, too."""
    if isinstance(value, Choice):
        yield key, value.kind
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    elif isinstance(value, tuple):
        yield key, [dict(_leaves("", item)) if isinstance(item, BaseModel) else item for item in value]
    else:
        yield key, value

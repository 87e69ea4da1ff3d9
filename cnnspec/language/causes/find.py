"""Find what to change where shapes clash: candidates along the way, those that fit, the most likely first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cnnspec.diagnostics import Fix
from cnnspec.language.causes import chain, fields, inputs, structure, windows
from cnnspec.language.causes.bindings import with_bindings
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.conventions import Conventions
from cnnspec.language.causes.network import Change, Network
from cnnspec.language.causes.places import Places
from cnnspec.language.causes.written import Written, entries
from cnnspec.language.document import Document
from cnnspec.language.inputs import DeclaredInput
from cnnspec.language.layer_placer import LIKE, LayerPlacer
from cnnspec.language.names import Names
from cnnspec.language.remedies import ancestors
from cnnspec.layers.merge import Merge

MOST_FAULTS = 10
"""How many faults of one check are explained."""
WRONG_RANK = "wrong-rank"
"""A field for another number of axes, which no size on the way explains."""
FALLBACK = 1.5
"""The score from which on a candidate is shown only where no better one helps."""
MOST_ENTRIES = 60
"""How many entries on the way to a fault are looked at."""
MOST_CANDIDATES = 8
"""How many fixes of one fault are handed on, to be tried."""
MOST_UNTESTED = 6
"""How many of them may be such that only a check of the edited text tells whether they help."""


def explain(document: Document, placer: LayerPlacer, names: Names, declared: Mapping[str, DeclaredInput]) -> None:
    """Add the chains of sizes to the diagnostics of shapes that do not fit, and fixes where these are looked for."""
    collector = document.scope.collector
    placed = placer.placed
    written = entries(placed)
    shapes = {node.name: node for node in placer.builder.nodes}
    rules = Conventions(written.values(), shapes)
    lists = [document.layers, *(block.layers for block in document.blocks.values() if block is not None)]
    places = Places(node for node in lists if node is not None)
    likes = _likes(placer, names) if any(one.entry.get(LIKE) is not None for one in written.values()) else {}
    faults = {(fault.code, fault.span): fault for fault in reversed(placer.faults)}
    for fault in [*faults.values()][::-1][:MOST_FAULTS]:
        if not all(name in shapes for name in fault.reads):
            continue
        nodes = ancestors(placer.builder.nodes, fault.reads, likes)
        before = {node.name: node.shape for node in placer.builder.nodes[: fault.before]}
        network = Network(fault, document, placed, written, rules, places, nodes, likes, before, names)
        fixes = tuple(_fixes(network, dict(declared))) if collector.proposes_fixes else ()
        notes = chain.notes(network) if fault.code != WRONG_RANK else []
        collector.explain(fault.code, fault.span, notes, (*fixes, *fault.last_resort))


def _likes(placer: LayerPlacer, names: Names) -> dict[str, str]:
    """Return the nodes whose sizes layers take with `like`."""
    found = {}
    for name, placed in placer.placed.items():
        node = placed.entry.get(LIKE)
        full = names.find(LIKE, node, placed.entry.scope) if node is not None else None
        if full is not None:
            found[name] = names.outputs[full].node
    return found


def _fixes(network: Network, declared: dict[str, DeclaredInput]) -> Iterator[Fix]:
    """Yield the most likely of the candidates that make the shapes fit."""
    found = untested = 0
    seen: set[object] = set()
    for one in sorted(_candidates(network, declared), key=lambda one: one.score):
        if found == MOST_CANDIDATES or network.left <= 0:
            return
        candidate = fields.candidate(network, one) if isinstance(one, fields.Proposal) else one
        if candidate is None or (key := _key(candidate)) in seen:
            continue
        if candidate.change is None:
            untested += 1
        if untested > MOST_UNTESTED if candidate.change is None else not network.fits(candidate.change):
            continue
        seen.add(key)
        found += 1
        is_fallback = candidate.score >= FALLBACK
        yield Fix(candidate.title, candidate.edits, cause=candidate.cause, is_fallback=is_fallback)


def _key(candidate: Candidate) -> object:
    """Return what two candidates that make the same network have in common."""
    change = candidate.change
    if change is None:
        return candidate.edits
    layers = tuple(sorted((name, repr(layer)) for name, layer in change.layers.items()))
    return layers, change.removed, tuple(change.inputs.items()), tuple(change.moved.items()), _appended(change)


def _appended(change: Change) -> object:
    return tuple((i, repr(layers)) for i, layers in change.appended.items())


def _candidates(network: Network, declared: dict[str, DeclaredInput]) -> Iterator[Candidate | fields.Proposal]:
    """Yield what may be meant, in no order; proposals are not candidates yet, since most of them are never tried."""
    way, own, ratio = _way(network), _own(network), _ratio(network)
    if own is not None and network.fault.code == WRONG_RANK:
        for proposal in fields.rank_proposals(network, own):
            yield from with_bindings(network, proposal)
        return
    proposals = []
    for one in way:
        found = windows.window_proposals(network, one, network.rules, ratio)
        for proposal in (*found, *fields.factor_proposals(network, one, ratio)):
            score = proposal.score + _distance(one, way) - windows.likeness(network, proposal, own)
            proposals.append(proposal._replace(score=score))
    proposals += _of_channels(network)
    if own is not None:
        proposals += _of_layer(network, own)
    elif network.fault.wanted is not None:
        proposals += windows.for_expectation(network, way[:1], network.fault.wanted)
    for proposal in proposals:
        yield from with_bindings(network, proposal)
    yield from _together(network, way if own is None else [own, *way])
    for one in way:
        for candidate in structure.removals(network, one):
            yield replace(candidate, score=candidate.score + _distance(one, way))
    if own is not None and not network.fault.branches:
        yield from structure.removals(network, own)
    if network.fault.branches:
        yield from structure.appended(network, network.rules)
        yield from structure.other_sources(network)
        yield from structure.other_merges(network)
        yield from structure.upsampled(network, ratio)
    elif network.fault.name:
        yield from structure.inserted(network)
    yield from inputs.candidates(network, declared)


def _way(network: Network) -> list[Written]:
    """Return the entries on the way to a fault, nearest first: from where the branches part, or from the input."""
    nodes = network.nodes
    if len(network.fault.reads) > 1:
        start = chain.parting(network)
        if start is not None:
            common = {node.name for node in ancestors(nodes, [start.name])}
            nodes = [node for node in nodes if node.name not in common]
    spans = [network.placed[node.name].entry.span for node in reversed(nodes) if node.name in network.placed]
    return [network.written[span] for span in dict.fromkeys(spans)][:MOST_ENTRIES]


def _distance(one: Written, way: list[Written]) -> float:
    """Return a penalty for a layer far from the fault."""
    return min(0.3, 0.015 * way.index(one))


def _own(network: Network) -> Written | None:
    """Return the entry of the layer that does not fit, if it is one."""
    return network.written[network.placed[network.fault.name].entry.span] if network.fault.name else None


def _ratio(network: Network) -> int:
    """Return how much larger the sizes of one branch are than those of another, 1 where that is no whole number.

    For an expectation it is how much larger the sizes are than those expected, or smaller, rounded.
    """
    wanted = network.fault.wanted
    if wanted is not None and len(wanted) == len(network.shapes[0]) > 1:
        small, large = sorted((wanted[1], network.shapes[0][1]))
        return max(1, round(large / small))
    sizes = sorted({shape[1] for shape in network.shapes if len(shape) > 1})
    return sizes[-1] // sizes[0] if len(sizes) > 1 and sizes[-1] % sizes[0] == 0 else 1


def _of_channels(network: Network) -> list[fields.Proposal]:
    """Return the proposals that change how many channels a branch, or an output, has."""
    fault, shapes = network.fault, network.shapes
    if fault.wanted is not None:
        if fault.wanted[0] == shapes[0][0]:
            return []
        return [*fields.channel_proposals(network, fault.reads[0], fault.wanted[0], [])]
    found = []
    for i, name in enumerate(fault.reads):
        for j, shape in enumerate(shapes):
            if i != j and shape[0] != shapes[i][0]:
                other = fields.last_with_channels(network, fault.reads[j])
                proposals = fields.channel_proposals(network, name, shape[0], [other] if other else [])
                found += [p._replace(score=p.score - 0.1 * (fault.odd == i)) for p in proposals]
    return found


def _of_layer(network: Network, own: Written) -> list[fields.Proposal]:
    """Return the proposals that change the layer that does not fit."""
    if isinstance(network.layer, Merge):
        return []
    found = [*windows.window_proposals(network, own, network.rules, 1), *windows.own_window(network, own)]
    if network.fault.code == "groups-do-not-divide":
        found += fields.group_proposals(network, own, network.shapes[0][0])
    return found


def _together(network: Network, way: list[Written]) -> Iterator[Candidate]:
    """Yield padding on all layers of a branch, of the whole way or of the spec whose windows make sizes smaller."""
    lists = [way]
    if len(network.fault.reads) > 1:
        start = chain.parting(network)
        for name in network.fault.reads:
            names = {node.name for node in chain.path(network, start, name)}
            lists.append([one for one in way if not names.isdisjoint(one.names)])
    everywhere = [*network.written.values()]
    kept = network.rules.preserving(None)
    for ones in (*lists, everywhere):
        base = 1.0 if kept >= 0.5 else 1.35
        yield from _all(network, ones, [windows.padded(network, one) for one in ones], "`padding: same`", base)
    for ones in (*lists, everywhere):
        found = [windows.each_side(network, one) for one in ones]
        yield from (one for one in found if one is not None)
        yield from _all(network, ones, found, "the padding on each side", 0.5)


def _all(
    network: Network, ones: list[Written], found: list[Candidate | None], what: str, score: float
) -> Iterator[Candidate]:
    """Yield several candidates as one."""
    parts = [part for part in found if part is not None]
    if len(parts) < 2:
        return
    layers = {name: layer for part in parts if part.change for name, layer in part.change.layers.items()}
    edits = tuple(edit for part in parts for edit in part.edits)
    titles = [one.title for one, part in zip(ones, found, strict=True) if part is not None]
    causes = [part.cause for part in parts if part.cause is not None]
    title = f"set {what} on {windows.listed(titles)}"
    yield Candidate(score + 0.03 * len(parts), title, edits, Change(layers), causes[0] if causes else None)

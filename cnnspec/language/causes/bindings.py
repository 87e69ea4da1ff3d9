"""Changes of a value where a parameter is bound that a layer's field refers to."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.diagnostics import Label, Span
from cnnspec.language.causes.candidate import Candidate
from cnnspec.language.causes.fields import Proposal, changed, turned
from cnnspec.language.causes.network import Change, Network
from cnnspec.language.causes.origins import Origin, origins, reference
from cnnspec.language.expressions import has_reference

MOST_USES = 20
"""How many layers of an entry are looked at for where its parameters are bound."""


def with_bindings(network: Network, proposal: Proposal) -> Iterator[Proposal | Candidate]:
    """Yield a proposal, and those that change where the parameter is bound that its field refers to."""
    score, one, field, new = proposal
    name = reference(one.written(field))
    text = new.text if new is not None else "1" if field == "stride" else ""
    if name is None or has_reference(text):
        yield proposal
        return
    yield proposal._replace(score=score + 0.6)
    if not text:
        return
    layers = changed(network, one, field, new)
    before = {*network.by_name, network.fault.name}
    uses = [use for use in reversed(one.names) if use in layers and use in before][:MOST_USES]
    for i, (origin, names) in enumerate(_origins(network, name, uses)):
        # the layers that have the value from there, and nothing else that it may change
        fits = network.fits(Change({name: layers[name] for name in names}))
        edit = origin.edit(text) if fits and str(origin.value) != text else None
        if edit is not None:
            title = f"set `{origin.name}: {text}` {origin.title}"
            node = network.by_name.get(names[0])
            label = Label(origin.place, turned(node, layers[names[0]])) if node is not None else None
            yield Candidate(score + 0.02 * i, title, (edit,), None, label)


def _origins(network: Network, name: str, uses: list[str]) -> list[tuple[Origin, list[str]]]:
    """Return where a parameter is bound for the layers of an entry, with the layers for which it is."""
    found: dict[tuple[Span, str], tuple[Origin, list[str]]] = {}
    for use in uses:
        for origin in origins(network.document, network.places, network.placed[use].entry, name):
            found.setdefault((origin.place, origin.name), (origin, []))[1].append(use)
    return [*found.values()]

"""`like: name`: the spatial sizes of a named layer in place of a field, such as the size of a crop."""

from __future__ import annotations

from cnnspec.diagnostics import Label
from cnnspec.language.entry import Entry
from cnnspec.language.layer_placer import LIKE, made_by
from cnnspec.language.names import Names, Output
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted


def sizes_like(names: Names, field: str, node: YamlNode, entry: Entry, current: Output | None) -> list[int] | None:
    """Return the spatial sizes of the layer that `like` names; None where they are not known, or of another rank."""
    scope = entry.scope
    if (own := entry.get(field)) is not None:
        message, remedy = f"`{LIKE}` stands beside `{field}`", "leave one of the two out"
        scope.error("not-allowed-here", message, node.span, "", Label(own.span, "says it, too"), help=remedy)
        return None
    named = names.look_up(LIKE, node, scope)
    if named is None or named.shape is None:
        return None
    if len(named.shape) == 1:
        message = f"{quoted(named.node)} is a vector, and `{LIKE}` takes the sizes of spatial axes"
        scope.error("needs-image", message, node.span, "", made_by(named))
        return None
    ranks = [len(shape) - 1 for shape in (named.shape, current.shape if current else None) if shape]
    if 0 not in ranks and len(set(ranks)) > 1:
        message = f"{quoted(named.node)} has {_axes(ranks[0])}, and the input of `{entry.kind}` {_axes(ranks[1])}"
        scope.error("wrong-rank", message, node.span, "", made_by(named))
        return None
    return list(named.shape[1:])


def _axes(rank: int) -> str:
    return f"{rank} spatial ax{'is' if rank == 1 else 'es'}"

"""Errors of entries that stand for no layer, with the fixes for them; a spec without faults does not import this."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cnnspec.language.entry import Entry
from cnnspec.language.entry_repairs import for_branch, for_kind, for_sugar, is_word
from cnnspec.language.fields import suggestion
from cnnspec.language.scope import Scope
from cnnspec.language.suggestions import suggest
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, find
from cnnspec.wording import describe, quoted


def report_unknown_kind(entry: Entry, kinds: Collection[str]) -> type[Layer] | None:
    """Report a kind that is none of those known; return the layer that is certainly meant, if there is one."""
    known = [*kinds, "from"]
    remedy = suggestion(entry.kind, known, "`cnnspec layers` lists the kinds")
    fixes = for_kind(entry.kind, entry.span, entry.config, {*kinds})
    message = f"no layer or block is called {quoted(entry.kind)}"
    entry.scope.error("unknown-kind", message, entry.span, help=remedy, fixes=fixes)
    return find(suggest(entry.kind, known, certain=True) or "") if is_word(entry.kind) else None


def report_unknown_sugar(key: str, entry: Entry, known: Sequence[str]) -> None:
    """Report a kind that `norm` or `activation` does not take."""
    remedy = suggestion(entry.kind, known, f"it takes {', '.join(known)}")
    message, fixes = f"`{key}` takes no {quoted(entry.kind)}", for_sugar(entry.kind, entry.span, known)
    entry.scope.error("unknown-kind", message, entry.span, help=remedy, fixes=fixes)


def report_no_branch(merge: YamlNode, key: str, scope: Scope) -> None:
    """Report a branch of a merge that is no list."""
    item = merge.get(key)
    assert item is not None
    remedy = "an empty list `[]` is the identity" if item.value is None else "write it as a list"
    message = f"the branch {quoted(key)} is a list of layers, not {describe(item.plain())}"
    scope.error("wrong-type", message, merge.keys[key], help=remedy, fixes=for_branch(merge, key))

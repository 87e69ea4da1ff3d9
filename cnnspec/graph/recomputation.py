"""Blocks whose values training computes a second time for the backward pass (Chen et al. 2016), by their names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from cnnspec.errors import BackendError
from cnnspec.graph.selection import prefixes
from cnnspec.wording import nearest


def recomputed_ranges(names: Sequence[str], blocks: Sequence[str]) -> list[tuple[int, int]]:
    """Return where the layers of each matching block begin and end, in order; blocks inside of others are left out.

    `names` are those of all layers in order; `blocks` are names of blocks, or patterns with `*`. Raise BackendError
    where a name is no block's, or the layers of a block do not follow each other.
    """
    if not blocks:
        return []
    known = dict.fromkeys(prefix for name in names for prefix in prefixes(name)[:-1])
    chosen: list[str] = []
    for pattern in blocks:
        matching = [name for name in known if fnmatchcase(name, pattern)]
        if not matching:
            near = nearest(pattern, known)
            hint = f"did you mean `{near}`?" if near else f"it has {', '.join(list(known)[:10]) or 'none'}"
            raise BackendError(f"the network has no named block `{pattern}` to recompute: {hint}")
        chosen += matching
    outermost = [name for name in dict.fromkeys(chosen) if not any(name.startswith(f"{other}.") for other in chosen)]
    found = []
    for block in outermost:
        at = [i for i, name in enumerate(names) if name.startswith(f"{block}.")]
        if at[-1] - at[0] + 1 != len(at):
            raise BackendError(f"the layers of `{block}` do not follow each other, so that it cannot be recomputed")
        found.append((at[0], at[-1] + 1))
    return sorted(found)

"""The branches of a merge, as a spec writes them."""

from __future__ import annotations

from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.wording import quoted


def branches_from(kind: str, node: YamlNode | None) -> str:
    """Return how a merge of named layers is written, where a list of names stands instead; "" for anything else."""
    sources = [item.value for item in node.elements()] if node is not None and node.is_list else []
    texts = [text for text in sources if isinstance(text, str)]
    if len(texts) < 2 or len(texts) < len(sources) or any(map(find, texts)):
        return ""
    branches = [f"{key}: [from: {text}]" for key, text in zip("xyz", texts, strict=False)]
    return quoted(f"{kind}: {{{', '.join([*branches, *['…'][: len(texts) > 3]])}}}", 120)

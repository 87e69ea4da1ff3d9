"""Lints of declarations: parameters and blocks that nothing uses, classes of one name."""

from __future__ import annotations

from cnnspec.diagnostics import Label, Span
from cnnspec.language.expressions import has_reference, references
from cnnspec.language.lints.subject import Subject
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted


def referenced(*nodes: YamlNode) -> set[str]:
    """Return the names that the texts of trees refer to with `$`."""
    found: set[str] = set()
    for node in nodes:
        for text in (*node.texts(), *_keys(node)):
            found.update(name for name, _, _ in references(text))
    return found


def _keys(node: YamlNode) -> list[str]:
    """Return the keys of a tree that refer to something."""
    found = [key for key in node.keys if has_reference(key)]
    for item in (*node.elements(), *(item for _, item in node.items())):
        found += _keys(item)
    return found


def unused_params(subject: Subject) -> None:
    """Warn of parameters of the spec, and of its blocks, that nothing refers to."""
    document = subject.document
    params = [(level, node) for level in document.levels if (node := level.get("params")) is not None and node.keys]
    if params:
        used = referenced(*document.levels)
        for _, node in params:
            for name, span in node.keys.items():
                if name not in used:
                    document.scope.warning(
                        "unused-param",
                        f"nothing refers to the parameter `{name}`",
                        span,
                        help=f"`${name}` refers to it",
                    )
    for block in document.blocks.values() if not _chooses_kinds(subject) else ():
        if block is None or not block.params or _is_overridden(subject, block.name):
            continue
        used = referenced(block.layers)
        for name, param in block.params.items():
            others = [p.default for n, p in block.params.items() if n != name and isinstance(p.default, YamlNode)]
            if name not in used and name not in referenced(*others):
                message = f"nothing in the block `{block.name}` refers to its parameter `{name}`"
                block.scope.warning("unused-param", message, param.span, help=f"`${name}` refers to it")


def _chooses_kinds(subject: Subject) -> bool:
    """Return whether a reference stands for the kind of a layer: blocks then wait to be chosen."""
    document = subject.document
    named = {value for value in document.scope.values.values() if isinstance(value, str)}
    return not named.isdisjoint(document.blocks) or any(_keys(level) for level in document.levels)


def _is_overridden(subject: Subject, block: str) -> bool:
    """Return whether several specs declare a block, which then take the same parameters."""
    return (
        sum((node := level.get("blocks")) is not None and block in node.keys for level in subject.document.levels) > 1
    )


def unused_blocks(subject: Subject) -> None:
    """Warn of blocks that nothing uses."""
    document = subject.document
    for name, block in document.blocks.items() if not _chooses_kinds(subject) else ():
        if block is not None and name not in subject.used_blocks:
            document.scope.warning("unused-block", f"nothing uses the block `{name}`", block.span, help="leave it out")


def repeated_class(subject: Subject) -> None:
    """Warn of two classes of one output that have one name."""
    node = subject.document.classes
    for names in (node, *(item for _, item in node.items())) if node is not None else ():
        first: dict[str, Span] = {}
        for item in names.elements():
            name = str(item.value)
            if name in first:
                message = f"two classes are called {quoted(name)}"
                label = Label(first[name], "is the first")
                subject.document.scope.warning("repeated-class", message, item.span, "", label)
            first.setdefault(name, item.span)

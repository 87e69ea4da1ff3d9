"""The `train:` section of a spec, and settings given in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnspec.diagnostics import Source, Span, SpecError
from cnnspec.graph.settings import Choice
from cnnspec.graph.training import Augment, Train
from cnnspec.language.collector import Findings
from cnnspec.language.fields import read_choice, read_model
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted

MAX_LINE = 120
"""Characters of an option that a diagnostic shows."""


def train_settings(values: Mapping[str, Any]) -> Train:
    """Return the training settings of a plain mapping; raise SpecError where a key or a value is not valid.

    The values are those of a `train:` section as Python's own lists, dicts and scalars: `{"optimizer": {"sgd": 0.1}}`.
    Diagnostics show the invalid one as `optimizer={'sgd': 0.1}`.
    """
    findings = Findings()
    scope = Scope(findings)
    lines = [quoted(f"{key}={value!r}", MAX_LINE)[1:-1] for key, value in values.items()]
    source = Source("<options>", "\n".join(lines))
    nodes: dict[str, YamlNode] = {}
    keys: dict[str, Span] = {}
    for number, ((key, value), line) in enumerate(zip(values.items(), lines, strict=True), 1):
        keys[key] = Span(source, number, 1, number, len(line) + 1)
        try:
            nodes[key] = YamlNode.of(value, keys[key])
        except TypeError as error:
            scope.fault("wrong-type", f"`{key}`: {error}", keys[key])
    train = read_train(scope, YamlNode(nodes, Span(source, 1, 1, 1, 1), keys))
    if train is None or findings.found:
        raise SpecError(findings.found)
    return train


def read_train(scope: Scope, node: YamlNode) -> Train | None:
    """The training settings, None where something is wrong with them."""
    given: dict[str, Any] = {}
    whole = True
    for key, value in node.items():
        part: Choice | Augment | None
        if key in Train.choices:
            part = read_choice(scope, Train.choices[key], value, key)
        elif key == "augment":
            part = read_model(Augment, scope, value, key, node.keys[key])
        else:
            continue
        whole = whole and part is not None
        given[key] = part if part is not None else Train.model_fields[key].get_default(call_default_factory=True)
    plain = {k: v for k, v in node.items() if k not in given}
    rest = YamlNode(plain, node.span, node.keys) if node.is_mapping else node
    train = read_model(Train, scope, rest, "train", node.span, given=given)
    return train if whole else None

"""The `train:` section of a spec, and settings that replace it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnspec.diagnostics import Source, Span, SpecError
from cnnspec.graph.settings import Choice, Settings
from cnnspec.graph.training import LOSSES, Train
from cnnspec.language.augment import read_augment
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.entry import Entry
from cnnspec.language.fields import read_choice, read_model
from cnnspec.language.repairs import replaced
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import describe, names, quoted

MAX_LINE = 120
"""Characters of an option that a diagnostic shows."""


def train_settings(values: Mapping[str, Any]) -> Train:
    """Return the training settings of a plain mapping; raise SpecError where a key or a value is not valid.

    The values are those of a `train:` section as Python's own lists, dicts and scalars: `{"optimizer": {"sgd": 0.1}}`.
    Diagnostics show the invalid one as `optimizer={'sgd': 0.1}`.
    """
    collector = DiagnosticCollector(proposes_fixes=False)
    scope = Scope(collector)
    lines = [quoted(f"{key}={value!r}", MAX_LINE)[1:-1] for key, value in values.items()]
    source = Source("<options>", "\n".join(lines))
    nodes: dict[str, YamlNode] = {}
    keys: dict[str, Span] = {}
    for number, ((key, value), line) in enumerate(zip(values.items(), lines, strict=True), 1):
        keys[key] = Span(source, number, 1, number, len(line) + 1)
        try:
            nodes[key] = YamlNode.of(value, keys[key])
        except TypeError as error:
            scope.error("wrong-type", f"`{key}`: {error}", keys[key])
    train = read_train(scope, YamlNode(nodes, Span(source, 1, 1, 1, 1), keys))
    if train is None or collector.diagnostics:
        raise SpecError(collector.diagnostics)
    return train


def _read_losses(scope: Scope, node: YamlNode) -> dict[str, Choice] | None:
    """Return the losses of outputs by name; report what is wrong with them and return None."""
    if not node.is_mapping or not node.keys:
        remedy = "`losses: {main: cross_entropy, aux: {cross_entropy: {weight: 0.3}}}`"
        scope.error(
            "wrong-type", f"`losses` takes a loss for each output, not {describe(node.plain())}", node.span, help=remedy
        )
        return None
    read = {name: read_choice(scope, LOSSES, item, name) for name, item in node.items()}
    found = {name: loss for name, loss in read.items() if loss is not None}
    return found if len(found) == len(read) else None


def _losses_by_output(scope: Scope, node: YamlNode) -> YamlNode:
    """Return the section with `losses` in place of a `loss` that names outputs, and report that."""
    loss = node.get("loss")
    if loss is None or len(loss.keys) < 2 or "losses" in node.keys or not {*LOSSES}.isdisjoint(loss.keys):
        return node
    span = node.keys["loss"]
    fixes = [replaced(span, "losses", certain=True, said=True)]
    message = f"`loss` is one for all outputs, and here are those of {names([*loss.keys])}"
    scope.error("wrong-type", message, span, help="`losses` takes one for each output", fixes=fixes)
    values = {"losses" if key == "loss" else key: item for key, item in node.items()}
    keys = {"losses" if key == "loss" else key: place for key, place in node.keys.items()}
    return YamlNode(values, node.span, keys)


def read_train(scope: Scope, node: YamlNode) -> Train | None:
    """Return the training settings; report what is wrong with them and return None."""
    parts: dict[str, Any] = {}
    valid = True
    node = _losses_by_output(scope, node)
    for key, value in node.items():
        part: Settings | dict[str, Choice] | tuple[Choice, ...] | None
        if key == "losses":
            part = _read_losses(scope, value)
        elif key == "augment":
            part = read_augment(scope, value)
        elif key in Train.choices:
            part = read_choice(scope, Train.choices[key], value, key)
        elif key in Train.parts:
            cls, main = Train.parts[key]
            part = read_model(cls, Entry(key, node.keys[key], value, scope), main=main)
        else:
            continue
        valid = valid and part is not None
        parts[key] = part if part is not None else Train.model_fields[key].get_default(call_default_factory=True)
    rest = node
    if node.is_mapping:
        rest = YamlNode({key: item for key, item in node.items() if key not in parts}, node.span, node.keys)
    train = read_model(Train, Entry("train", node.span, rest, scope), overrides=parts, whole=node)
    return train if valid else None

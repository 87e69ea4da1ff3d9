"""The `train:` section of a spec, and settings given in its place."""

from __future__ import annotations

from typing import Any

from cnnspec.diagnostics import SpecError
from cnnspec.graph.settings import Choice
from cnnspec.graph.training import Augment, Train
from cnnspec.language.collector import Findings
from cnnspec.language.fields import read_choice, read_model
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import Node


def train_settings(node: Node) -> Train:
    """The training settings of a mapping that stands alone; SpecError where it is at fault."""
    findings = Findings()
    train = read_train(Scope(findings), node)
    if train is None:
        raise SpecError(findings.found)
    return train


def read_train(scope: Scope, node: Node) -> Train | None:
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
    rest = Node(plain, node.span, node.keys) if node.is_mapping else node
    train = read_model(Train, scope, rest, "train", node.span, given=given)
    return train if whole else None

"""Layers chosen by name, and the settings that choose them."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.errors import TrainingError
from cnnspec.graph.finetuning import factors_by_layer, frozen, norms_behind_frozen
from cnnspec.graph.graph import Graph
from cnnspec.graph.selection import matching, proposal
from cnnspec.graph.training import Train

NAMES = ["stem", "stage1.conv1", "stage1.block2.bn", "stage1.block2.conv1", "stage10.conv1", "head"]

NET = """
input: [3, 16, 16]
layers:
  - conv: {channels: 8, kernel: 3, norm: batch_norm, activation: relu, name: stem}
  - repeat: {times: 2, name: stage, layers: [conv: {channels: 8, kernel: 3, norm: batch_norm, activation: relu}]}
  - flatten
  - dropout: 0.5
  - dense: 4
"""


def graph_of(text: str = NET) -> Graph:
    return cnnspec.loads(text).graph


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("stem", ["stem"]),
        ("stage1", NAMES[1:4]),
        ("stage1.*", NAMES[1:4]),
        ("stage1*", NAMES[1:5]),
        ("stage1.block2", NAMES[2:4]),
        ("*.block2", NAMES[2:4]),
        ("*.conv1", [NAMES[1], NAMES[3], NAMES[4]]),
        ("conv1", []),
        ("stage", []),
        ("STEM", []),
        ("*", NAMES),
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert matching(NAMES, pattern) == expected


def test_proposals_are_layers_and_blocks() -> None:
    assert proposal("stage1.block1", NAMES).startswith("did you mean `stage1.block2`")
    assert proposal("quite else", NAMES) == "the names begin with `stem`, `stage1`, `stage10`, `head`"


def test_frozen_layers_are_marked_and_have_nothing_to_train() -> None:
    graph = frozen(graph_of(), Train(freeze=("stem", "stage1")))
    assert [n.name for n in graph.nodes if n.frozen] == ["stem", "stage1.conv1", "stage1.batch_norm1", "stage1.relu1"]
    assert not any(p.trainable for node in graph.nodes if node.frozen for p in node.parameters.values())
    assert norms_behind_frozen(graph) == ["batch_norm1"]
    assert frozen(graph_of(), Train()).nodes == graph_of().nodes


def test_what_depends_on_a_trained_parameter() -> None:
    graph = frozen(graph_of(), Train(freeze=("stem", "batch_norm1", "stage*")))
    assert graph.depends_on_parameters == {"dense1"}
    assert "stem" in graph_of().depends_on_parameters


def test_the_last_rate_that_matches_counts() -> None:
    rates = {"*": 0.5, "stage1": 0.1, "stage1.batch_norm1": 2.0}
    found = factors_by_layer(graph_of().nodes, rates)
    assert (found["dense1"], found["stage1.conv1"], found["stage1.batch_norm1"]) == (0.5, 0.1, 2.0)
    assert factors_by_layer(graph_of().nodes, {"stage1": 0.1, "*": 0.5})["stage1.conv1"] == 0.5


SHARED = """
input: [1, 6, 6]
layers:
  - conv: {channels: 1, kernel: 3, padding: same, name: first}
  - conv: {channels: 1, kernel: 3, padding: same, name: second, share: first}
  - flatten
  - dense: 2
"""


@pytest.mark.parametrize(
    ("text", "train", "message"),
    [
        (
            NET,
            Train(freeze=("stage3",)),
            r"`freeze` has `stage3`, which is no layer: did you mean `stage2` or `stage1`\?",
        ),
        (NET, Train(freeze=("input",)), "`freeze` has `input`, which is no layer"),
        (NET, Train(rates={"relu1": 2.0}), "`rates` has `relu1`, which is no layer with weights"),
        (NET, Train(freeze=("*",)), "`freeze` leaves no layer that can be trained"),
        (NET, Train(freeze=("*conv1", "stem", "*norm*", "dense1")), "`freeze` leaves no layer that can be trained"),
        (SHARED, Train(freeze=("first",)), "`first` is frozen and shares weights with `second`, which is not: freeze"),
        (SHARED, Train(freeze=("second",)), "`second` is frozen and shares weights with `first`, which is not"),
        (SHARED, Train(rates={"second": 2.0}), "`first` and `second` share weights, and have different `rates`"),
    ],
)
def test_settings_that_do_not_fit(text: str, train: Train, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        frozen(graph_of(text), train)


def test_all_faults_are_listed() -> None:
    with pytest.raises(TrainingError) as raised:
        frozen(graph_of(), Train(freeze=("x", "y"), rates={"z": 1.0}))
    assert len(str(raised.value).splitlines()) == 3

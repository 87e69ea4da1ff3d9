"""The weights that fine-tuning starts from: what is taken over, what begins anew, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from named_networks import squeezenet1_1
from numpy.testing import assert_array_equal

import cnnspec
from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph
from cnnspec.weights.initial import initial
from cnnspec.weights.start import Start, started

TEXT = """
name: small
input: [1, 8, 8]
layers:
  - conv: {{channels: 4, kernel: 3, norm: batch_norm, name: stem}}
  - repeat:
      times: 2
      name: stage
      layers: [conv: {{channels: 4, kernel: 3, padding: same}}]
  - flatten
  - dense: {{units: {classes}, name: {head}}}
"""


def graph_of(classes: int = 3, head: str = "head", text: str = TEXT) -> Graph:
    return cnnspec.loads(text.format(classes=classes, head=head)).graph


def old(classes: int = 10, head: str = "head") -> Arrays:
    """The weights of the other task, drawn by another seed."""
    return initial(graph_of(classes, head), 7)


def start(graph: Graph, given: Arrays, *replace: str) -> Start:
    return started(graph, given, replace, 0, "old.safetensors")


def test_all_is_taken_over_where_all_fits() -> None:
    found = start(graph_of(10), old())
    assert found.replaced == found.ignored == []
    for name, array in old().items():
        assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("pattern", ["head", "he*", "*ad"])
def test_a_layer_that_begins_anew_is_that_of_the_seed(pattern: str) -> None:
    graph = graph_of(3)
    found = start(graph, old(), pattern)
    assert found.replaced == ["head"]
    assert list(found.arrays) == list(graph.parameters)
    fresh = initial(graph, 0)
    for name, array in found.arrays.items():
        assert_array_equal(array, fresh[name] if name.startswith("head.") else old()[name])


def test_a_block_begins_anew() -> None:
    found = start(graph_of(10), old(), "stage2")
    assert found.replaced == ["stage2.conv1"]
    assert (found.arrays["stage2.conv1.weight"] != old()["stage2.conv1.weight"]).all()


def test_a_layer_that_only_the_file_has_is_left_out() -> None:
    found = start(graph_of(3, "classes"), old(), "classes", "head")
    assert found.replaced == ["classes"]
    assert found.ignored == ["head.weight", "head.bias"]


def test_what_does_not_fit_is_listed_with_what_would_help() -> None:
    with pytest.raises(WeightsError) as raised:
        start(graph_of(3), old())
    assert str(raised.value).splitlines() == [
        "old.safetensors does not fit the network `small`:",
        "  head.weight: expected [3, 144], found [10, 144]",
        "  head.bias: expected [3], found [10]",
        "  help: `replace: [head]` begins with new weights there",
    ]


def test_missing_and_superfluous_layers() -> None:
    given = old(3)
    given |= {"extra.weight": np.zeros(2)}
    del given["batch_norm1.running_mean"]
    with pytest.raises(WeightsError) as raised:
        start(graph_of(3), given)
    assert str(raised.value).splitlines()[1:] == [
        "  batch_norm1.running_mean: expected [4], found nothing",
        "  extra.weight: found [2], and the network has no such tensor",
        "  help: `replace: [batch_norm1, extra]` begins with new weights there, and leaves out extra",
    ]


def test_the_help_holds() -> None:
    """What the message proposes is what makes the weights fit."""
    with pytest.raises(WeightsError) as raised:
        start(graph_of(3, "classes"), old())
    proposed = str(raised.value).split("`replace: [")[1].split("]")[0].split(", ")
    assert start(graph_of(3, "classes"), old(), *proposed).replaced == ["classes"]


def test_all_misfits_of_another_network_are_listed() -> None:
    deep = TEXT.replace("times: 2", "times: 40")
    with pytest.raises(WeightsError) as raised:
        start(graph_of(3, text=deep), old())
    lines = str(raised.value).splitlines()
    assert len([line for line in lines if "expected" in line]) == 2 + 2 * 38
    assert lines[-1] == "  help: these are weights of another network"


def test_names_of_another_library_are_recognised() -> None:
    given = {f"{name}.{key}": np.zeros(shape) for name, shapes in squeezenet1_1() for key, shape in shapes.items()}
    with pytest.raises(
        WeightsError,
        match="names are those of torchvision's networks of features and a classifier: `cnnspec weights convert`",
    ):
        start(cnnspec.load("squeezenet1_1").graph, given)


def test_numbers_that_are_not_finite() -> None:
    given = old(3)
    given["stem.weight"][0] = np.nan
    with pytest.raises(WeightsError, match=r"stem.weight: 9 of 36 numbers are NaN or infinite"):
        start(graph_of(3), given)
    assert start(graph_of(3), given, "stem").replaced == ["stem"]


def test_a_pattern_without_a_layer() -> None:
    with pytest.raises(WeightsError, match=r"`replace` has `haed`, .* did you mean `head`\?"):
        start(graph_of(3), old(3), "haed")


def test_layers_that_share_weights_begin_anew_together() -> None:
    text = """
input: [1, 6, 6]
layers:
  - conv: {channels: 1, kernel: 3, padding: same, name: first}
  - conv: {channels: 1, kernel: 3, padding: same, name: second, share: first}
"""
    graph = cnnspec.loads(text).graph
    given = initial(graph, 7)
    found = start(graph, given, "second")
    assert_array_equal(found.arrays["first.weight"], initial(graph, 0)["first.weight"])

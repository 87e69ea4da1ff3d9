"""The difference of two specs: what is the same network, and what became of each layer."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnspec
from cnnspec import bundled
from cnnspec.graph import alignment
from cnnspec.graph.alignment import Pair, align
from cnnspec.graph.difference import Change, Difference, LayerChange, compare
from cnnspec.graph.spec import Spec

LENET = re.sub(r"\nexpect:.*", "", Path(bundled.folder(), "lenet.yaml").read_text("utf-8"))


def spec(layers: str, head: str = "input: [3, 16, 16]") -> Spec:
    return cnnspec.loads(f"{head}\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers.split("; ")), name="net")


def between(before: str, after: str, head: str = "input: [3, 16, 16]") -> Difference:
    return compare(spec(before, head), spec(after, head))


def names(changes: list[LayerChange]) -> list[str]:
    return [(change.after or change.before).node.name for change in changes]  # type: ignore[union-attr]


def counts(difference: Difference) -> dict[str, int]:
    return {kind: len(changes) for kind, changes in difference.by_kind.items()}


class TestTheSame:
    @pytest.mark.parametrize("name", bundled.names())
    def test_a_spec_and_its_expanded_form(self, name: str) -> None:
        """Blocks and sugar against everything written out, with and without defaults."""
        before = cnnspec.load(name)
        for defaults in (True, False):
            assert compare(before, cnnspec.loads(cnnspec.render(before, defaults=defaults))).is_empty

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("conv: {channels: 4, kernel: 3, padding: same}", "conv: {channels: 4, kernel: [3, 3], padding: 2}"),
            ("max_pool: 2", "max_pool: {kernel: 2, stride: 2, padding: 0, rounding: ceil}"),
            (
                "conv: {channels: 4, kernel: 3, norm: batch_norm}",
                "conv: {channels: 4, kernel: 3, bias: false}; batch_norm",
            ),
            ("repeat: {times: 2, layers: [relu]}", "relu; relu"),
            ("add: {a: [relu], b: []}", "add: {main: [relu], skip: []}"),
        ],
    )
    def test_other_words_for_it(self, before: str, after: str) -> None:
        assert between(before, after).is_empty

    def test_comments_and_names_of_specs(self) -> None:
        other = "# another\n" + LENET.replace("name: lenet", "name: copy")
        assert compare(cnnspec.loads(LENET), cnnspec.loads(other)).is_empty


class TestZoo:
    def test_resnet34_has_eight_more_units(self) -> None:
        difference = compare(cnnspec.load("resnet18"), cnnspec.load("resnet34"))
        assert counts(difference) == {"added": 56}
        units = Counter(name.rpartition(".")[0] for name in names(difference.by_kind["added"]))
        assert units == dict.fromkeys(
            ["stage1.unit2", "stage2.unit2", "stage2.unit3", *(f"stage3.unit{i}" for i in range(2, 6)), "stage4.unit2"],
            7,
        )
        assert difference.totals["parameters"] == Change(11_689_512, 21_797_672)

    def test_vgg13_has_two_more_convolutions(self) -> None:
        difference = compare(cnnspec.load("vgg11"), cnnspec.load("vgg13"))
        assert names(difference.layers) == ["stage1.conv2", "stage1.relu2", "stage2.conv2", "stage2.relu2"]  # type: ignore[arg-type]
        back = compare(cnnspec.load("vgg13"), cnnspec.load("vgg11"))
        assert counts(back) == {"removed": 4}

    def test_lenet_with_another_kernel(self) -> None:
        after = cnnspec.loads(LENET.replace("kernel: 5", "kernel: 3", 1))
        difference = compare(cnnspec.loads(LENET), after)
        (changed,) = difference.by_kind["changed"]
        assert changed.fields == {"kernel": Change(5, 3)}
        assert (changed.before.row.output, changed.after.row.output) == ((6, 24, 24), (6, 26, 26))  # type: ignore[union-attr]
        assert difference.totals["parameters"].before - difference.totals["parameters"].after == 6 * (25 - 9)
        # 26 → 13 → 9 → 4: what is behind the second pooling layer stays as it is.
        assert names(difference.by_kind["affected"]) == ["sigmoid1", "max_pool1", "conv2", "sigmoid2"]

    def test_another_activation(self) -> None:
        difference = compare(cnnspec.loads(LENET), cnnspec.loads(LENET.replace("sigmoid", "relu")))
        assert [change.fields for change in difference.layers] == [{"kind": Change("sigmoid", "relu")}] * 4

    def test_all_of_a_new_spec_is_added(self) -> None:
        difference = compare(None, cnnspec.load("mlp"))
        assert counts(difference) == {"added": 4}
        assert difference.totals["parameters"] == Change(0, 203_530)
        assert counts(compare(cnnspec.load("mlp"), None)) == {"removed": 4}


class TestLayers:
    def test_a_layer_put_between_leaves_its_neighbours(self) -> None:
        difference = between("conv: {channels: 4, kernel: 3}; tanh", "conv: {channels: 4, kernel: 3}; batch_norm; tanh")
        assert names([*difference.layers]) == ["batch_norm1"]

    def test_numbers_of_names_are_not_renamings(self) -> None:
        difference = between("relu; tanh; relu; flatten", "relu; relu; tanh; relu; flatten")
        assert counts(difference) == {"added": 1, "renumbered": 1}

    def test_renamed(self) -> None:
        difference = between("relu: {name: a}; tanh", "relu: {name: b}; tanh")
        (change,) = difference.layers
        assert (change.kind, change.is_renamed, change.fields) == ("renamed", True, {})

    def test_moved(self) -> None:
        conv = "conv: {channels: 4, kernel: 3, padding: same, name: wide}"
        difference = between(f"{conv}; relu; tanh; sigmoid", f"relu; tanh; sigmoid; {conv}", "input: [4, 8, 8]")
        assert counts(difference)["moved"] == 1
        assert names(difference.by_kind["moved"]) == ["wide"]
        assert not {"added", "removed"} & {*counts(difference)}

    def test_a_skip_from_elsewhere(self) -> None:
        before = "relu: {name: a}; tanh: {name: b}; sigmoid; add: {x: [], y: [from: a]}"
        difference = between(before, before.replace("from: a", "from: b"))
        (change,) = difference.layers
        assert change.fields == {"reads": Change(("sigmoid1", "a"), ("sigmoid1", "b"))}

    def test_branches_in_another_order(self) -> None:
        difference = between("concat: {a: [], b: [relu]}", "concat: {b: [relu], a: []}")
        assert [{*change.fields} for change in difference.layers] == [{"reads"}]

    def test_shared_weights(self) -> None:
        first = "conv: {channels: 3, kernel: 3, name: a}; "
        difference = between(
            first + "conv: {channels: 3, kernel: 3}", first + "conv: {channels: 3, kernel: 3, share: a}"
        )
        (change,) = difference.layers
        assert change.fields["share"] == Change(None, "a")

    def test_weights_in_the_spec(self) -> None:
        difference = between("dense: {units: 1, weight: [[1, 2]]}", "dense: {units: 1, weight: [[1, 3]]}", "input: [2]")
        assert [{*change.fields} for change in difference.layers] == [{"weight"}]

    def test_another_number_of_axes(self) -> None:
        conv = "conv: {channels: 2, kernel: 3}"
        difference = compare(spec(conv), spec(conv, "input: {channels: 3, length: 16}"))
        assert difference.settings["input.shape"] == Change([3, 16, 16], [3, 16])


HEAD = "input: {shape: [3, 4, 4], mean: 0.5}\nclasses: [a, b]\ntrain: {epochs: 3, optimizer: sgd}\ninit: zeros"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mean: 0.5", "mean: 0.25", {"input.mean": Change([0.5], [0.25])}),
        ("[3, 4, 4]", "[3, 5, 5]", {"input.shape": Change([3, 4, 4], [3, 5, 5])}),
        ("[a, b]", "[b, a]", {"classes": Change(["a", "b"], ["b", "a"])}),
        ("epochs: 3", "epochs: 4", {"train.epochs": Change(3, 4)}),
        ("init: zeros", "init: torch", {"init": Change("zeros", "torch")}),
        ("epochs: 3", "epochs: 3, loss: {cross_entropy: {label_smoothing: 0.1}}",
         {"train.loss.label_smoothing": Change(0.0, 0.1)}),
    ],
)  # fmt: skip
def test_settings(old: str, new: str, expected: dict[str, Any]) -> None:
    before, after = (spec("flatten; dense: 2", head) for head in (HEAD, HEAD.replace(old, new)))
    assert compare(before, after).settings == expected


def test_a_section_with_the_defaults_alone_says_nothing() -> None:
    assert compare(spec("relu"), spec("relu", "input: [3, 16, 16]\ntrain: {}")).is_empty


def test_outputs() -> None:
    head = "input: [3, 16, 16]\noutputs: {}"
    before, after = (
        spec("relu: {name: a}; tanh: {name: b}", head.replace("{}", outputs)) for outputs in ("[a]", "[b]")
    )
    assert compare(before, after).settings == {"outputs.a": Change("a", None), "outputs.b": Change(None, "b")}


def test_examples_and_inputs_by_name() -> None:
    text = "inputs: {a: [2], b: [2]}\nlayers:\n  - add: {x: [], y: [from: b]}\n"
    before, after = cnnspec.loads(text), cnnspec.loads(text + "examples: [{inputs: {a: 0, b: 1}, output: 1}]\n")
    assert len(compare(before, after).settings) == 1
    other = cnnspec.loads(text.replace("b: [2]", "b: {shape: [2], scale: 1}"))
    assert [*compare(before, other).settings] == ["inputs.b.scale"]


LAYERS = [
    "relu",
    "tanh",
    "conv: {channels: 3, kernel: 3, padding: same}",
    "batch_norm",
    "conv: {channels: 3, kernel: 1}",
]


@given(
    st.lists(st.sampled_from(LAYERS), min_size=1, max_size=12),
    st.lists(st.sampled_from(LAYERS), min_size=1, max_size=12),
)
@settings(max_examples=60)
def test_every_layer_is_accounted_for(before: list[str], after: list[str]) -> None:
    old, new = spec("; ".join(before)), spec("; ".join(after))
    pairs = align(old.graph.nodes[1:], new.graph.nodes[1:])
    assert all(x.before < y.before and x.after < y.after for x, y in pairwise(pairs))
    difference = compare(old, new)
    added, removed = (len(difference.by_kind.get(kind, ())) for kind in ("added", "removed"))  # type: ignore[call-overload]
    assert len(after) - added == len(before) - removed
    assert difference.is_empty == (before == after)


class TestLong:
    """Sequences that are too long for every pair to be compared."""

    @staticmethod
    def network(*edits: tuple[int, str], length: int = 150) -> Spec:
        layers = ["conv: {channels: 3, kernel: 3, padding: same}" if i % 2 else "relu" for i in range(length)]
        for place, layer in edits:
            layers[place] = layer
        return spec("; ".join(layers))

    @pytest.fixture(autouse=True)
    def _small_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alignment, "MOST_CELLS", 100)
        monkeypatch.setattr(alignment, "MOST_EDITS", 12)
        monkeypatch.setattr(alignment, "PIECE", 10)

    def test_few_edits(self) -> None:
        edits = (10, "tanh"), (41, "conv: {channels: 3, kernel: 5, padding: same}"), (120, "gelu; gelu")
        difference = compare(self.network(), self.network(*edits))
        assert [change.fields for change in difference.by_kind["changed"]] == [
            {"kind": Change("relu", "tanh")}, {"kernel": Change(3, 5)}, {"kind": Change("relu", "gelu")},
        ]  # fmt: skip
        assert counts(difference)["added"] == 1

    def test_everything_edited(self) -> None:
        wide = [(i, "conv: {channels: 3, kernel: 1}") for i in range(1, 150, 2)]
        difference = compare(self.network(), self.network(*wide))
        assert counts(difference)["changed"] == 75
        assert not {"added", "removed"} & {*counts(difference)}

    @given(st.lists(st.sampled_from("abc"), max_size=20), st.lists(st.sampled_from("abc"), max_size=20))
    def test_what_both_have_in_common_is_as_long_as_can_be(self, a: list[str], b: list[str]) -> None:
        """Beside the definition of the longest common subsequence."""
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
        common = alignment._in_common(a, b)
        longest = table[-1][-1]
        if common is None:
            assert len(a) + len(b) - 2 * longest > alignment.MOST_EDITS
        else:
            assert len(common) == longest
            assert all(a[i] == b[j] for i, j in common)
            assert all(x[0] < y[0] and x[1] < y[1] for x, y in pairwise(common))


def test_nothing_beside_something() -> None:
    nodes = spec("relu; tanh").graph.nodes
    assert align([], nodes) == align(nodes, []) == []
    assert align(nodes, nodes) == [Pair(i, i) for i in range(len(nodes))]

"""Lints find what is most likely a mistake, and leave alone what looks like one and is none."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec import bundled
from cnnspec.diagnostics import Source
from cnnspec.graph.training.datasets import DATASETS


def found(text: str, *, notes: bool = False) -> list[str]:
    report = cnnspec.check(Source("s.yaml", text), notes=notes)
    assert report.ok, report.diagnostics
    return [d.code for d in report.diagnostics]


def layers(text: str, *, shape: str = "[3, 32, 32]", rest: str = "", notes: bool = False) -> list[str]:
    return found(f"input: {shape}\nlayers: [{text}]\n{rest}", notes=notes)


@pytest.mark.parametrize("name", bundled.names())
def test_no_warning_about_bundled_specs(name: str) -> None:
    assert cnnspec.check(name).diagnostics == ()


CONV = "conv: {channels: 8, kernel: 3, padding: same%s}"


class TestLayers:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("relu, relu", "activation-twice"),
            ("conv: {channels: 8, kernel: 3, activation: relu}, relu", "activation-twice"),
            (f"{CONV % ''}, {CONV % ''}", "linear-twice"),
            (f"{CONV % ''}, batch_norm, avg_pool: 2, {CONV % ''}", "linear-twice"),
            ("flatten, dense: 100, dropout: 0.5, dense: 10", "linear-twice"),
            ("conv: {channels: 8, kernel: 3, bias: false}, dropout: 0.5, batch_norm", "dropout-before-norm"),
            ("global_avg_pool, flatten", "flatten-of-vector"),
            ("batch_norm: {momentum: 0.9}", "norm-momentum"),
            ("conv: {channels: 8, kernel: 4, stride: 2, padding: 1}", "padding-per-side"),
            ("max_pool: {kernel: 3, stride: 2, padding: 1}", "padding-per-side"),
            ("conv_transpose: {channels: 8, kernel: 4, stride: 2, padding: 1}", "padding-per-side"),
        ],
    )
    def test_warned_of(self, text: str, code: str) -> None:
        assert layers(text) == [code]

    @pytest.mark.parametrize(
        "text",
        [
            "relu, tanh",
            "leaky_relu: 0.1, leaky_relu: 0.2",
            f"{CONV % ', activation: relu'}, {CONV % ''}",
            f"{CONV % ''}, max_pool: 2, {CONV % ''}",
            "conv: {channels: 8, kernel: 1}, conv: {channels: 8, kernel: 3}",
            "conv: {channels: 3, kernel: 3, groups: 3}, conv: {channels: 8, kernel: 3}",
            "conv: {channels: 8, kernel: [1, 7]}, conv: {channels: 8, kernel: [7, 1]}",
            "flatten, dense: 16, dense: 100",
            "flatten, dense: 100, relu, dense: 10",
            f"{CONV % ''}, add: {{a: [{CONV % ''}], b: []}}",
            "batch_norm, relu, dropout: 0.5, conv: {channels: 8, kernel: 3}",
            "batch_norm: {momentum: 0.1}",
            "conv: {channels: 8, kernel: 4, stride: 2, padding: 2}",
            "conv: {channels: 8, kernel: 3, padding: {each_side: 1}}",
            "conv_transpose: {channels: 8, kernel: 4, stride: 2, padding: 2}",
        ],
    )
    def test_left_alone(self, text: str) -> None:
        assert layers(text) == []

    def test_the_fix_of_a_momentum_is_one_minus_it(self) -> None:
        text = "input: [3, 8, 8]\nlayers: [batch_norm: {momentum: 0.99}]\n"
        (diagnostic,) = cnnspec.check(Source("s.yaml", text)).diagnostics
        (fix,) = diagnostic.fixes
        assert [edit.text for edit in fix.edits] == ["0.01"]

    def test_the_chapter_s_three_gigabytes(self) -> None:
        """3·1000·1000 numbers and 256 units: 768,000,000 weights of 4 bytes, and 256 biases."""
        text = "input: [3, 1000, 1000]\nlayers: [flatten, dense: 256]\n"
        (diagnostic,) = cnnspec.check(Source("s.yaml", text)).diagnostics
        assert (diagnostic.code, diagnostic.severity) == ("heavy-dense", "warning")
        assert "768,000,256 parameters, 3.1 GB" in diagnostic.message
        assert "3 × 256 = 768 weights" in diagnostic.help

    def test_a_lighter_one_is_a_note(self) -> None:
        text = "flatten, dense: 1024, relu, dense: 16"
        assert layers(text) == []
        assert layers(text, notes=True) == ["heavy-dense"]


class TestNotes:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("max_pool: 3", "unread-border"),
            ("conv: {channels: 8, kernel: 4, padding: same}", "uneven-padding"),
            ("conv: {channels: 8, kernel: 3}, batch_norm", "bias-before-norm"),
            (f"{CONV % ''}, global_avg_pool", "small-receptive-field"),
            ("conv: {channels: 30, kernel: 1}, relu, flatten, dense: 10", "uneven-channels"),
        ],
    )
    def test_noted(self, text: str, code: str) -> None:
        assert layers(text) == []
        assert layers(text, notes=True) == [code]

    @pytest.mark.parametrize(
        "text",
        [
            "max_pool: 2",
            "conv: {channels: 8, kernel: 1, stride: 5}",
            "conv: {channels: 8, kernel: 3, norm: batch_norm}",
            "conv: {channels: 8, kernel: 32, padding: valid}, global_avg_pool",
            "conv: {channels: 30, kernel: 3}",
        ],
    )
    def test_not_noted(self, text: str) -> None:
        assert layers(text, notes=True) == []


class TestInputs:
    @pytest.mark.parametrize("shape", ["[28, 28, 1]", "[224, 160, 3]", "{shape: [32, 32, 3]}"])
    def test_channels_last(self, shape: str) -> None:
        assert layers("flatten, dense: 10", shape=shape) == ["channels-last-input"]

    @pytest.mark.parametrize(
        "shape", ["[1, 28, 28]", "[64, 8, 3]", "[3, 3, 3]", "[28, 28, 2]", "{channels: 40, length: 3}"]
    )
    def test_channels_first(self, shape: str) -> None:
        assert layers("flatten, dense: 10", shape=shape) == []

    @pytest.mark.parametrize(
        ("preprocessing", "codes"),
        [
            ("mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4]", ["pixel-scale"]),
            ("mean: 0.5, std: 0.5, scale: 1", ["pixel-scale"]),
            ("mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]", []),
            ("mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4], scale: 1", []),
            ("scale: 1", []),
        ],
    )
    def test_units(self, preprocessing: str, codes: list[str]) -> None:
        assert layers("flatten, dense: 10", shape=f"{{shape: [3, 32, 32], {preprocessing}}}") == codes


class TestTraining:
    @pytest.mark.parametrize(
        ("train", "codes"),
        [
            ("epochs: 10, schedule: {cosine: {warmup: 12}}", ["schedule-beyond-training"]),
            ("epochs: 10, schedule: {step: 10}", ["schedule-beyond-training"]),
            ("epochs: 10, schedule: {milestones: [5, 15]}", ["schedule-beyond-training"]),
            ("epochs: 16, schedule: {milestones: [5, 15]}", []),
            ("augment: [shift: 17]", ["large-shift"]),
            ("augment: [random_crop: 4, shift: 4]", []),
            ("optimizer: {adamw: {weight_decay: 1.5}}", ["large-weight-decay"]),
            ("optimizer: {adamw: {weight_decay: 0.05}}", []),
        ],
    )
    def test_settings(self, train: str, codes: list[str]) -> None:
        assert layers("flatten, dense: 10", rest=f"train: {{data: a.npz, {train}}}\n") == codes

    @pytest.mark.parametrize(
        ("ending", "loss", "codes"),
        [
            ("dense: 10, relu", "cross_entropy", ["activation-before-loss"]),
            ("dense: 10, sigmoid", "cross_entropy", ["activation-before-loss"]),
            ("dense: 10, softmax", "cross_entropy", ["softmax-before-loss"]),
            ("dense: 10, log_softmax", "cross_entropy", []),
            ("dense: 10, dropout: 0.1", "cross_entropy", ["dropout-before-loss"]),
            ("dense: 10, relu", "mean_squared_error", []),
            ("dropout: 0.1, dense: 10", "cross_entropy", []),
        ],
    )
    def test_behind_the_logits(self, ending: str, loss: str, codes: list[str]) -> None:
        assert layers(f"flatten, {ending}", rest=f"train: {{data: a.npz, loss: {loss}}}\n") == codes

    @pytest.mark.parametrize(
        ("shape", "ending", "data", "codes"),
        [
            ("[1, 28, 28]", "flatten, dense: 10", "mnist", []),
            ("[3, 28, 28]", "flatten, dense: 10", "mnist", ["dataset-mismatch"]),
            ("[1, 32, 32]", "flatten, dense: 10", "fashion-mnist", ["dataset-mismatch"]),
            ("{shape: [1, 32, 32], fit: pad}", "flatten, dense: 10", "fashion-mnist", []),
            ("[3, 32, 32]", "flatten, dense: 100", "cifar10", ["dataset-mismatch"]),
            ("[3, 32, 32]", "conv: {channels: 10, kernel: 1}", "cifar10", ["dataset-mismatch"]),
            ("[3, 32, 32]", "flatten, dense: 10", "cifar-10", ["unknown-dataset"]),
            ("[3, 32, 32]", "flatten, dense: 10", "./cifar-10", []),
            ("[3, 32, 32]", "flatten, dense: 10", "photos", []),
        ],
    )
    def test_datasets(self, shape: str, ending: str, data: str, codes: list[str]) -> None:
        assert layers(ending, shape=shape, rest=f"train: {{data: {data}}}\n") == codes

    def test_the_facts_are_those_of_the_data(self) -> None:
        from cnnspec.data import known

        assert set(DATASETS) == {*known.KNOWN, known.DIGITS}
        assert {name: len(of.classes) for name, of in known.KNOWN.items()}.items() <= {
            name: facts.classes for name, facts in DATASETS.items()
        }.items()


class TestDeclarations:
    @pytest.mark.parametrize(
        ("text", "codes"),
        [
            ("params: {w: 8}\nlayers: [conv: {channels: 8, kernel: 3}]", ["unused-param"]),
            ("params: {w: 8}\nlayers: [conv: {channels: $(2 * w), kernel: 3}]", []),
            ("params: {w: 8, v: $(w + 1)}\nlayers: [conv: {channels: $v, kernel: 3}]", []),
            ("params: {act: relu}\nlayers: [$act]", []),
            ("blocks: {b: {params: {c: int}, layers: [relu]}}\nlayers: [b: 8]", ["unused-param"]),
            ("blocks: {b: {params: {c: int}, layers: [conv: {channels: $c, kernel: 3}]}}\nlayers: [b: 8]", []),
            ("blocks: {b: {layers: [relu]}}\nlayers: [relu]", ["unused-block"]),
            ("params: {k: a}\nblocks: {a: {layers: [relu]}, b: {layers: [tanh]}}\nlayers: [$k]", []),
        ],
    )
    def test_unused(self, text: str, codes: list[str]) -> None:
        assert found(f"input: [3, 8, 8]\n{text}\n") == codes


class TestIgnored:
    @pytest.mark.parametrize(
        "text",
        [
            "layers:\n  - relu\n  - relu  # twice  # cnnspec: ignore[activation-twice]\n",
            "layers:\n  - relu\n  # cnnspec: ignore[activation-twice, linear-twice]\n  - relu\n",
            "# cnnspec: ignore-file[activation-twice]\nlayers: [relu, relu]\n",
            "layers: [relu, relu]\nlint: {ignore: [activation-twice]}\n",
            "layers: [relu, relu]\nlint: {ignore: activation-twice}\n",
        ],
    )
    def test_silenced(self, text: str) -> None:
        assert found(f"input: [3, 8, 8]\n{text}") == []

    @pytest.mark.parametrize(
        ("text", "codes"),
        [
            ("layers:\n  - relu # cnnspec: ignore[activation-twice]\n  - relu\n", ["activation-twice"]),
            ("layers: [relu, relu]\nname: 'x # cnnspec: ignore-file[activation-twice]'\n", ["activation-twice"]),
            ("layers: [relu]\nlint: {ignore: [activation-twise]}\n", ["unknown-code"]),
        ],
    )
    def test_not_silenced(self, text: str, codes: list[str]) -> None:
        assert found(f"input: [3, 8, 8]\n{text}") == codes

    def test_errors_cannot_be(self) -> None:
        text = "input: [3, 8, 8]\nlayers: [conv: {channels: 8, kernel: 9}] # cnnspec: ignore[kernel-too-large]\n"
        report = cnnspec.check(Source("s.yaml", text))
        assert [d.code for d in report.diagnostics] == ["kernel-too-large", "unknown-code"]

    @pytest.mark.parametrize(
        ("lint", "code"),
        [("[relu]", "wrong-type"), ("{ignored: []}", "unknown-key"), ("{ignore: [3]}", "wrong-type")],
    )
    def test_the_section_is_checked(self, lint: str, code: str) -> None:
        report = cnnspec.check(Source("s.yaml", f"input: [3, 8, 8]\nlayers: [relu]\nlint: {lint}\n"))
        assert [d.code for d in report.diagnostics] == [code]
        assert not report.ok

    def test_what_silences_nothing_is_noted(self) -> None:
        text = "layers: [relu] # cnnspec: ignore[activation-twice]\n"
        assert found(f"input: [3, 8, 8]\n{text}") == []
        assert found(f"input: [3, 8, 8]\n{text}", notes=True) == ["unused-ignore"]

    def test_the_section_is_rendered(self) -> None:
        text = "input: [3, 8, 8]\nlayers: [relu, relu]\nlint: {ignore: [activation-twice]}\n"
        assert found(cnnspec.render(Source("s.yaml", text))) == []

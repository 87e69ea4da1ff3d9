"""The bundled specs: they check clean, do what they say, and have the chapter's numbers."""

import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner

import cnnspec
from cnnspec import bundled
from cnnspec.cli import main
from cnnspec.data import inputs
from cnnspec.data.examples import example_data
from cnnspec.errors import MemoryLimitError
from cnnspec.graph.costs import summarize
from cnnspec.runtime.backend import available
from cnnspec.runtime.build import build
from cnnspec.testing.examples import run_examples

REPORTS = {name: cnnspec.check(name) for name in bundled.names()}
TEXTBOOK = [name for name in REPORTS if name.startswith("textbook/")]
BACKENDS = sorted(available())


SPECS = {name: report.spec for name, report in REPORTS.items() if report.spec}
WITH_EXAMPLES = [name for name, spec in SPECS.items() if spec.examples and not spec.examples_are_training_data]


# Every spec


@pytest.mark.parametrize("name", REPORTS)
def test_checks_clean(name):
    report = REPORTS[name]
    assert [str(d) for d in report.diagnostics] == []
    assert report.ok
    assert report.spec.name == name.removeprefix("textbook/")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_pass(name, backend):
    outcomes = run_examples(REPORTS[name].spec, backend)
    assert len(outcomes) == len(REPORTS[name].spec.examples)
    assert [o.example.name for o in outcomes if not o.passed] == []


@pytest.mark.parametrize("name", TEXTBOOK)
def test_textbook_specs_say_where_they_are_from(name):
    first = bundled.find(name).read_text(encoding="utf-8").splitlines()[1]
    assert first.startswith(("# Section ", "# Sections "))
    assert first.endswith(".")  # `cnnspec specs` shows one sentence
    assert bundled.find(name.removeprefix("textbook/")) == bundled.find(name)


# The chapter's numbers, typed from the chapter

NINE = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
SIXTEEN = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
TWO_CHANNELS = [NINE, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]]
STRIPE = [[1, 1, 0, 0, 0, 0, 1, 1]] * 6

CHAPTER = {
    "cross_correlation": (NINE, [[19, 25], [37, 43]]),
    "convolution": (NINE, [[19, 25], [37, 43]]),
    "padding": (NINE, [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]),
    "stride": (NINE, [[0, 8], [6, 8]]),
    "input_channels": (TWO_CHANNELS, [[56, 72], [104, 120]]),
    "output_channels": (TWO_CHANNELS, [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]]),
    "max_pooling": (NINE, [[4, 5], [7, 8]]),
    "avg_pooling": (NINE, [[2, 3], [5, 6]]),
    "pooling_stride": (SIXTEEN, [[10]]),
    "pooling_padding": (SIXTEEN, [[5, 7], [13, 15]]),
    "pooling_uneven": (SIXTEEN, [[1, 3], [9, 11], [13, 15]]),
    "edge_detector": (STRIPE, [[0, 1, 0, 0, 0, -1, 0]] * 6),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CHAPTER)
def test_numbers_of_the_chapter(name, backend):
    x, expected = (np.array(numbers, float) for numbers in CHAPTER[name])
    model = build(f"textbook/{name}", backend)
    y = model.predict(x.reshape(1, *model.graph.input.shape))
    assert np.array_equal(y[0], expected.reshape(model.graph.output.shape))  # whole numbers: exact in float32 too


@pytest.mark.parametrize("backend", BACKENDS)
def test_flipping_the_kernel_makes_convolution_of_cross_correlation(backend):
    x = np.array(NINE, float)[None, None]
    kernel = np.array([[0.0, 1.0], [2.0, 3.0]])[None, None]
    plain = build("textbook/cross_correlation", backend, weights={"conv1.weight": kernel})
    for name, weight in (("convolution", kernel[..., ::-1, ::-1]), ("convolution_same_kernel", kernel)):
        flipped = build(f"textbook/{name}", backend, weights={"conv1.weight": weight})
        same = name == "convolution"
        assert np.array_equal(flipped.predict(x), plain.predict(x)) == same


def test_padding_k_less_1_keeps_the_size_and_puts_the_extra_row_on_top():
    for name, pads in (("padding_odd_kernel", (1, 1, 1, 1)), ("padding_even_kernel", (1, 0, 1, 0))):
        output = REPORTS[f"textbook/{name}"].spec.graph.output
        assert output.shape == output.in_shapes[0] == (1, 3, 3)
        assert output.inferred.pads.flat == pads


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_1x1_convolution_is_a_dense_layer_over_channels(backend):
    rng = np.random.default_rng(0)
    weight, image = rng.standard_normal((2, 3)), rng.standard_normal((1, 3, 3, 3))
    conv = build("textbook/one_by_one", backend, weights={"conv1.weight": weight.reshape(2, 3, 1, 1)}, dtype="float64")
    dense = build("textbook/one_by_one_as_dense", backend, weights={"dense1.weight": weight}, dtype="float64")
    positions = image[0].reshape(3, 9).T
    assert np.allclose(conv.predict(image)[0].reshape(2, 9).T, dense.predict(positions), rtol=1e-14, atol=1e-14)


def test_both_forms_of_the_1x1_convolution_carry_the_same_numbers():
    x, y = example_data(REPORTS["textbook/one_by_one"].spec)
    samples, outputs = example_data(REPORTS["textbook/one_by_one_as_dense"].spec)
    assert np.array_equal(x["input"][0].reshape(3, 9).T, samples["input"])
    assert np.array_equal(y["conv1"][0].reshape(2, 9).T, outputs["dense1"])


def test_two_stacked_2x2_convolutions_see_3x3():
    rows = summarize(REPORTS["textbook/receptive_field"].spec.graph).rows
    assert [row.receptive_field for row in rows] == [(1, 1), (2, 2), (3, 3)]


def test_pooling_finds_an_edge_that_has_moved():
    x, y = example_data(REPORTS["textbook/edge_pooling"].spec)
    assert np.array_equal(x["input"][1, :, :, 1:], x["input"][0, :, :, :-1])
    edges = build("textbook/edge_detector").predict(x)[:, 0, 0]
    assert edges.argmax(1).tolist() == [1, 2]
    assert next(iter(y.values()))[:, 0, :, 1].tolist() == [[1] * 5, [1] * 5]


def places(n, k, p, s):
    """How many windows fit, by counting where they start."""
    return len(range(0, n + p - k + 1, s))


def test_shape_formulas_by_counting():
    windows = [((5, 3), (0, 0), (1, 1)), ((3, 3), (4, 2), (1, 1)), ((5, 5), (4, 4), (1, 1))]
    windows += [((3, 3), (0, 0), (3, 2)), ((3, 3), (2, 2), (2, 2)), ((3, 3), (2, 2), (2, 5))]
    nodes = REPORTS["textbook/shape_formulas"].spec.graph.nodes
    size = nodes[0].shape[1:]
    for node, window in zip(nodes[1:], windows, strict=True):
        size = tuple(places(n, *numbers) for n, numbers in zip(size, zip(*window, strict=True), strict=True))
        assert node.shape[1:] == size


def test_output_size_with_numbers_of_ones_own():
    for n, k, p, s in ((8, 3, 2, 2), (32, 5, 4, 2), (227, 11, 0, 4), (7, 2, 1, 3)):
        graph = cnnspec.load("textbook/output_size", params={"n": n, "k": k, "p": p, "s": s}).graph
        assert graph.output.shape == (1, places(n, k, p, s), places(n, k, p, s))


# The photo of chapter 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_photo_mlp_is_refused_before_anything_is_allocated(backend):
    graph = REPORTS["textbook/photo_mlp"].spec.graph
    build("textbook/max_pooling", backend)  # imports what the backend needs
    tracemalloc.start()
    try:
        # 3,000,000 × 256 weights and 256 biases of 4 bytes: 3,072,001,024 bytes.
        with pytest.raises(MemoryLimitError, match=r"takes 3\.1 GB: 3\.1 GB of weights .*the limit is 2\.1 GB"):
            build(graph, backend, memory_limit=2 * 2**30)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_the_photo_mlp_on_the_command_line(monkeypatch):
    monkeypatch.delenv("CNNSPEC_MEMORY_LIMIT", raising=False)
    refused = CliRunner().invoke(main, ["run", "photo_mlp"])
    assert refused.exit_code == 1
    assert "`dense1.weight` alone, 256×3000000, 3.1 GB" in refused.output
    assert "--memory-limit" in refused.output
    untouched = CliRunner().invoke(main, ["test", "photo_mlp"])
    assert (untouched.exit_code, untouched.output) == (0, "photo_mlp: no examples\n")


# LeNet, LeNet-5, the perceptron


def test_lenet():
    summary = summarize(REPORTS["lenet"].spec.graph)
    # conv1 6·(25 + 1) = 156, conv2 16·(6·25 + 1) = 2,416;
    # dense 120·(256 + 1) + 84·(120 + 1) + 10·(84 + 1) = 30,840 + 10,164 + 850 = 41,854, which is 94.2 % of 44,426.
    assert summary.totals.parameters == 156 + 2_416 + 41_854 == 44_426
    assert summary.by_kind[0][:2] == ("dense", 41_854)
    assert round(100 * 41_854 / 44_426, 1) == 94.2
    # 24·24 places · 6·25 + 8·8 places · 16·6·25 + 120·256 + 84·120 + 10·84
    assert summary.totals.macs == 86_400 + 153_600 + 30_720 + 10_080 + 840 == 281_640
    # The most is alive while the first sigmoid runs: what it reads and what it makes, 2 · 6·24·24 numbers of 4 bytes.
    assert summary.totals.peak_activation_bytes == 2 * 6 * 24 * 24 * 4 == 27_648
    shapes = [node.shape for node in REPORTS["lenet"].spec.graph.nodes if node.kind in ("conv", "max_pool", "flatten")]
    assert shapes == [(6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4), (256,)]


def test_lenet5():
    summary = summarize(REPORTS["lenet5"].spec.graph)
    # 6·26, 16·(6·25 + 1), 120·(16·25 + 1), 84·121, 10·85
    assert summary.totals.parameters == 156 + 2_416 + 48_120 + 10_164 + 850 == 61_706
    # 28·28·6·25, 10·10·16·150, 120·400, 84·120, 10·84
    assert summary.totals.macs == 117_600 + 240_000 + 48_000 + 10_080 + 840 == 416_520


def test_mlp():
    totals = summarize(REPORTS["mlp"].spec.graph).totals
    assert totals.parameters == 256 * (784 + 1) + 10 * (256 + 1) == 203_530
    assert totals.macs == 256 * 784 + 10 * 256 == 203_264


def test_classes():
    clothes = REPORTS["lenet"].spec.classes
    assert clothes == REPORTS["mlp"].spec.classes
    assert [clothes[i] for i in (0, 1, 8, 9)] == ["t-shirt", "trouser", "bag", "ankle boot"]  # as the dataset counts
    assert REPORTS["lenet5"].spec.classes == tuple("0123456789")


# The pictures


@pytest.mark.parametrize("name", ["boot", "trouser", "bag"])
def test_samples_are_found_anywhere(name, tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    lenet = REPORTS["lenet"].spec.input
    batch = inputs.read([f"{name}.png", f"samples/{name}.png"], lenet)
    assert batch.x.shape == (2, 1, 28, 28)
    assert np.array_equal(batch.x[0], batch.x[1])
    item = batch.x[0, 0]
    assert item.min() == 0  # light on black, as in Fashion-MNIST
    assert item.max() > 0.9
    assert 0.15 < item.mean() < 0.6
    assert bundled.find(name, ".png").stat().st_size < 2_000


def test_a_sample_on_the_command_line(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(main, ["run", "lenet.yaml", "--input", "boot.png"])
    assert shown.exit_code == 0
    assert "1 sample\nnumpy on cpu" in shown.output
    assert shown.output.splitlines()[-1].startswith("  boot.png  ")

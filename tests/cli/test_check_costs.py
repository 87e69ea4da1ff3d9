"""`cnnspec check` with budgets, memory limits, blocks, sizes and families."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cnnspec

from cnnspec.cli.check_options import split_list

FAMILY = """\
input: [1, 8, 8]
params: {width: 2, kernel: 3, act: relu, taps: [3, 3], deep: true}
layers:
  - conv: {channels: $width, kernel: $kernel, activation: $act}
  - conv: {channels: 1, kernel: $taps, bias: $deep}
"""


@pytest.fixture
def family(tmp_path: Path) -> str:
    (tmp_path / "family.yaml").write_text(FAMILY, "utf-8")
    return "family.yaml"


def totals(text: str) -> dict[str, str]:
    """The lines of the totals by their first word."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line and line[0] != " "}


class TestMemory:
    def test_inference_and_training(self, cnnspec: Cnnspec) -> None:
        # 44,426 weights and 6,912 activations at the peak. In training, the peak is at the first pool's backward pass:
        # all gradients but those of the first convolution (156); for each sample the input (784), what the pool reads
        # (3,456), its 864 places of 8 bytes, both gradients (3,456 + 864) and the output (10).
        found = totals(cnnspec("check", "lenet", "--batch", 10, "--optimizer", "sgd").stdout)
        assert found["inference"].startswith("454.2 kB, for a batch of 10:")  # 4 · (44,426 + 69,120)
        assert found["training"].startswith("766.7 kB with sgd, for a batch of 10:")  # 4 · (2 · 44,426 − 156 + 102,980)

    def test_half_precision_says_what_is_counted(self, cnnspec: Cnnspec) -> None:
        found = totals(cnnspec("check", "lenet", "--dtype", "bfloat16").stdout)
        assert found["inference"].endswith("weights and activations at the peak, in bfloat16")
        assert found["training"].startswith("876.0 kB with adam")
        assert found["training"].endswith("in float32, copies of weights and activations in bfloat16, at the peak")

    def test_the_optimizer_as_in_a_spec(self, cnnspec: Cnnspec) -> None:
        found = totals(cnnspec("check", "lenet", "--optimizer", "{sgd: {momentum: 0.9}}").stdout)
        assert found["training"].startswith("573.7 kB with sgd")  # 4 · (3 · 44,426 − 156 + 10,298)

    def test_an_unknown_optimizer(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--optimizer", "adm")
        assert result.exit_code == 1
        assert "error[invalid-value]: `optimizer` takes sgd, adam," in result.stderr

    def test_fit(self, cnnspec: Cnnspec) -> None:
        # (10⁶ − 177,704) / 27,648 = 29.7; (10⁶ − 16 · 44,426 + 4 · 156) / 41,192 = 7.04
        text = cnnspec("check", "lenet", "--fit", "1MB").stdout
        assert "inference: a batch of 29 at most, which takes 979.5 kB" in text
        assert "training with adam: a batch of 7 at most, which takes 998.5 kB" in text

    def test_not_even_one_sample_fits(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("check", "lenet", "--fit", "200kB").stdout
        assert "inference: no batch, as one sample takes 205.4 kB" in text

    def test_json(self, cnnspec: Cnnspec) -> None:
        found = json.loads(
            cnnspec("check", "lenet", "--fit", "1MB", "--per-block", "--sizes", "--format", "json").stdout
        )
        assert found["fit"] == {
            "limit": 1_000_000,
            "inference": 29,
            "inference_bytes": 979_496,
            "training": 7,
            "training_bytes": 998_536,
        }
        assert found["blocks"] == []
        (sizes,) = found["sizes"]
        assert (sizes["keeping_weights"]["text"], sizes["fitting"]["text"]) == ("28 to 31", "any from 16 up")
        assert sizes["axes"] == [
            [{"input": "input", "axis": "height", "size": 28}],
            [{"input": "input", "axis": "width", "size": 28}],
        ]


class TestBudget:
    def test_within(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--budget", "macs=300k,parameters=45k", "--budget", "memory=1MB")
        assert result.exit_code == 0
        assert "error" not in result.stdout

    def test_beyond(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--budget", "macs=300k,parameters=40k", "-q")
        assert result.exit_code == 1
        assert result.stdout.splitlines()[0] == (
            "error[over-budget]: `lenet` has 44,426 parameters, 4,426 (11.1 %) more than its budget of at most 40,000"
        )
        assert "most parameters are of `dense1` 69.4 %, `dense2` 22.9 %, `conv2` 5.4 %" in result.stdout
        assert "MACs" not in result.stdout

    def test_memory_is_that_of_the_batch_and_the_format(self, cnnspec: Cnnspec) -> None:
        # 177,704 + 100 · 27,648 bytes, half of it in float16
        assert cnnspec("check", "lenet", "--batch", 100, "--budget", "memory=2MB").exit_code == 1
        assert cnnspec("check", "lenet", "--batch", 100, "--dtype", "float16", "--budget", "memory=2MB").exit_code == 0

    def test_json(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--budget", "macs=1k", "--format", "json")
        found = json.loads(result.stdout)
        assert (result.exit_code, found["ok"]) == (1, False)
        assert [d["code"] for d in found["diagnostics"]] == ["over-budget"]

    def test_wrong_usage(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--budget", "mcs=1k")
        assert result.exit_code == 2
        assert "did you mean `macs`?" in result.stderr


class TestBlocksAndSizes:
    def test_per_block(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("check", "resnet18", "--per-block").stdout.splitlines()
        rows = {line.split()[0]: line.split() for line in lines[4:20] if line}
        # He et al. 2015: 64·64·9 twice, with two norms of 2·64.
        assert rows["stage1"][1:3] == ["14", "147,968"]
        assert int(rows["stage1"][2].replace(",", "")) == 2 * (2 * 64 * 64 * 9 + 2 * 2 * 64)
        assert lines[5].startswith("stage1")
        assert lines[6].startswith("  unit0")

    def test_sizes(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("check", "unet", "--sizes").stdout
        assert "height and width (572 here)" in text
        assert "any from 188 up" in text  # as the paper's arithmetic says, and the spec's comment

    @pytest.mark.parametrize("options", [["--sizes", "--per-block"], ["--explain", "--sizes"]])
    def test_one_view_at_a_time(self, cnnspec: Cnnspec, options: list[str]) -> None:
        result = cnnspec("check", "lenet", *options)
        assert result.exit_code == 2
        assert "show different things" in result.stderr


class TestFamily:
    def test_a_row_for_each_member(self, cnnspec: Cnnspec, family: str) -> None:
        result = cnnspec("check", family, "--set", "width=2,4", "--set", "kernel=3,5")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[0].split()[:3] == ["width", "kernel", "parameters"]
        # width·(k² + 1) and width·9 + 1
        expected = [(w, k, w * (k * k + 1) + w * 9 + 1) for w in (2, 4) for k in (3, 5)]
        assert [tuple(map(int, line.split()[:3])) for line in lines[2:6]] == expected
        assert lines[-1] == "4 networks: 4 valid, 0 with errors"

    def test_a_member_that_fails_stops_no_other(self, cnnspec: Cnnspec, family: str) -> None:
        result = cnnspec("check", family, "--set", "kernel=3,9,5")
        assert result.exit_code == 1
        lines = result.stdout.splitlines()
        assert [line.split()[-1] for line in lines[2:5]] == ["1×4×4", "kernel-too-large", "1×2×2"]
        assert "family kernel=9: kernel-too-large: `conv1` window does not fit its input" in lines
        assert lines[-1] == "3 networks: 2 valid, 1 with errors"

    @pytest.mark.parametrize(
        ("value", "rows"),
        [
            ("act=relu,{leaky_relu: 0.1},none", ["relu", "{leaky_relu: 0.1}", "none"]),
            ("taps=[3, 3],[1, 3]", ["[3, 3]", "[1, 3]"]),
            ("deep=true,false", ["true", "false"]),
        ],
    )
    def test_parameters_of_every_type(self, cnnspec: Cnnspec, family: str, value: str, rows: list[str]) -> None:
        result = cnnspec("check", family, "--set", value, "--format", "csv")
        assert result.exit_code == 0
        name = value.partition("=")[0]
        assert [row[name] for row in csv.DictReader(io.StringIO(result.stdout))] == rows

    def test_a_list_in_brackets_is_one_value(self, cnnspec: Cnnspec, family: str) -> None:
        result = cnnspec("check", family, "--set", "taps=[1, 3]")
        assert result.stdout.startswith("family: every shape fits\n")

    def test_csv(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "mlp", "nothing", "--format", "csv", "--fit", "1MB")
        assert result.exit_code == 1
        lenet, mlp, nothing = csv.DictReader(io.StringIO(result.stdout))
        assert (lenet["spec"], lenet["parameters"], lenet["macs"], lenet["output"]) == (
            "lenet",
            "44426",
            "281640",
            "10",
        )
        assert (lenet["inference_bytes"], lenet["inference_batch"]) == ("205352", "29")
        assert mlp["parameters"] == str(784 * 256 + 256 + 256 * 10 + 10)
        assert nothing["error"].startswith("unreadable-file: ")

    def test_json(self, cnnspec: Cnnspec, family: str) -> None:
        found = json.loads(cnnspec("check", family, "--set", "width=1,3", "--format", "json").stdout)
        assert [(each["params"], each["ok"]) for each in found] == [({"width": 1}, True), ({"width": 3}, True)]

    def test_standard_input(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "-", "--set", "width=1,2", input=FAMILY)
        assert result.exit_code == 0
        assert result.stdout.splitlines()[-1] == "2 networks: 2 valid, 0 with errors"

    def test_budgets_of_members(self, cnnspec: Cnnspec, family: str) -> None:
        # 2·10 + 19 = 39 and 4·10 + 37 = 77 parameters
        result = cnnspec("check", family, "--set", "width=2,4", "--budget", "parameters=50")
        assert result.exit_code == 1
        assert [("over-budget" in line) for line in result.stdout.splitlines()[2:4]] == [False, True]

    def test_bounded(self, cnnspec: Cnnspec, family: str) -> None:
        numbers = ",".join(map(str, range(1, 41)))
        result = cnnspec("check", family, "--set", f"width={numbers}", "--set", f"kernel={numbers}")
        assert result.exit_code == 2
        assert "--set gives 1,600 members, and at most 1,000 are checked in one call" in result.stderr

    def test_no_details_of_many(self, cnnspec: Cnnspec, family: str) -> None:
        result = cnnspec("check", family, "--set", "width=1,2", "--sizes")
        assert result.exit_code == 2
        assert "--sizes shows one network in detail" in result.stderr


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1,2,4", ["1", "2", "4"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("{a: 1, b: 2}", ["{a: 1, b: 2}"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("relu", ["relu"]),
        ("[[1,2],[3,4]]", ["[[1,2],[3,4]]"]),
    ],
)
def test_commas_outside_of_brackets_separate_values(text: str, parts: list[str]) -> None:
    assert split_list(text) == parts


def test_check_stays_free_of_frameworks(process: Callable[..., object]) -> None:
    code = (
        "import sys\nfrom cnnspec.cli import main\n"
        "for args in (['check', 'lenet', '--sizes'], ['explain', 'lenet', 'conv1'],\n"
        "             ['check', 'lenet', '--fit', '1GB', '--per-block', '--optimizer', 'adam']):\n"
        "    try: main(args, standalone_mode=False)\n"
        "    except SystemExit as end: assert not end.code\n"
        "assert not {'numpy', 'torch', 'rich'} & set(sys.modules)\n"
    )
    result = process(code=code)
    assert getattr(result, "returncode") == 0, getattr(result, "stderr")  # noqa: B009

"""What a user of the command line relies on: the text, the JSON, the exit status, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Cnnspec
from safetensors.numpy import save_file

import cnnspec as package
from cnnspec.cli import COMMANDS
from cnnspec.wording import cells

Process = Callable[..., subprocess.CompletedProcess[str]]

SMALL = "input: [1, 4, 4]\nlayers:\n  - conv: {channels: 2, kernel: 3}\n  - relu\n  - flatten\n  - dense: 3\n"
FAULTY = "input: [1, 4, 4]\nlayers:\n  - conv: {channels: 2, kernel: 9}\n"

LENET = """\
lenet: every shape fits

name       layer             output  pads ↑↓←→  parameters     MACs  receptive field  step   memory
───────────────────────────────────────────────────────────────────────────────────────────────────
input                       1×28×28                                              1×1     1   3.1 kB
conv1      conv 5×5         6×24×24    0 0 0 0         156   86,400              5×5     1  13.8 kB
sigmoid1   sigmoid          6×24×24                                              5×5     1  13.8 kB
max_pool1  max_pool 2×2 /2  6×12×12    0 0 0 0                                   6×6     2   3.5 kB
conv2      conv 5×5          16×8×8    0 0 0 0       2,416  153,600            14×14     2   4.1 kB
sigmoid2   sigmoid           16×8×8                                            14×14     2   4.1 kB
max_pool2  max_pool 2×2 /2   16×4×4    0 0 0 0                                 16×16     4   1.0 kB
flatten1   flatten              256                                            16×16         1.0 kB
dense1     dense                120                 30,840   30,720            28×28          480 B
sigmoid3   sigmoid              120                                            28×28          480 B
dense2     dense                 84                 10,164   10,080            28×28          336 B
sigmoid4   sigmoid               84                                            28×28          336 B
dense3     dense                 10                    850      840            28×28           40 B

parameters   44,426, 177.7 kB; dense layers hold 94.2 %, conv 5.8 %
MACs         281,640 (563,280 FLOPs); conv layers take 85.2 %, dense 14.8 %
activations  27.6 kB at the peak, for one sample
"""


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a spec beside the command and returns its name."""

    def write(text: str, name: str = "net.yaml") -> str:
        (tmp_path / name).write_text(text, "utf-8")
        return name

    return write


def read_json(text: str) -> Any:
    """JSON as strict parsers read it: without NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


class TestCheck:
    def test_table_in_a_pipe(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet")
        assert result.exit_code == 0
        assert result.stdout.startswith(LENET)

    @pytest.mark.parametrize("name", ["lenet", "resnet50", "googlenet"])
    def test_fits_a_terminal(self, cnnspec: Cnnspec, name: str) -> None:
        result = cnnspec("check", name, env={"COLUMNS": "80"})
        assert max(map(len, result.stdout.splitlines())) <= 80
        assert "parameters" in result.stdout.splitlines()[2]

    def test_narrow_terminal_shortens_names_last(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("check", "resnet50", env={"COLUMNS": "40"}).stdout.splitlines()
        assert max(map(len, lines)) <= 40
        assert any(line.startswith("…") for line in lines)

    def test_explain(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("check", "lenet", "--explain").stdout
        assert (
            "max_pool1: max_pool 2×2 /2, 6×24×24 → 6×12×12\n"
            "    height           ⌊(24 − 2 + 0 + 2) / 2⌋ = 12\n"
            "    width            ⌊(24 − 2 + 0 + 2) / 2⌋ = 12\n"
            "    pads             0 top, 0 bottom, 0 left, 0 right\n"
            "    receptive field  6×6 of the input, in steps of 2\n"
            "conv2: conv 5×5, 6×12×12 → 16×8×8\n"
            "    height           ⌊(12 − 5 + 0 + 1) / 1⌋ = 8\n"
            "    width            ⌊(12 − 5 + 0 + 1) / 1⌋ = 8\n"
            "    pads             0 top, 0 bottom, 0 left, 0 right\n"
            "    parameters       weight 16×6×5×5 + bias 16 = 2,416\n"
            "    MACs             16·8·8 × 6·5·5 = 153,600\n"
            "    receptive field  14×14 of the input, in steps of 2\n"
        ) in lines

    def test_branches_say_what_they_read(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        name = spec("input: [2, 4, 4]\nlayers:\n  - relu\n  - add: {main: [tanh], skip: []}\n")
        lines = cnnspec("check", name).stdout.splitlines()
        assert re.match(r"name +layer +reads +output", lines[2])
        assert re.match(r"add1 +add +tanh1, relu1 +2×4×4", lines[7])

    def test_json(self, cnnspec: Cnnspec) -> None:
        report = read_json(cnnspec("check", "lenet", "--format", "json").stdout)
        assert list(report) == ["spec", "ok", "diagnostics", "layers", "totals"]
        assert (report["spec"], report["ok"], report["diagnostics"]) == ("lenet", True, [])
        assert report["layers"][0] == {
            "name": "input", "kind": "input", "inputs": [], "output": [1, 28, 28], "pads": None, "parameters": 0,
            "shares": None, "macs": 0, "receptive_field": [1, 1], "activation_bytes": 3136,
        }  # fmt: skip
        assert report["layers"][4] == {
            "name": "conv2", "kind": "conv", "inputs": ["max_pool1"], "output": [16, 8, 8], "pads": [0, 0, 0, 0],
            "parameters": 2416, "shares": None, "macs": 153600, "receptive_field": [14, 14], "activation_bytes": 4096,
        }  # fmt: skip
        assert report["totals"].pop("training_bytes") > 3 * 177704
        assert report["totals"] == {
            "parameters": 44426, "macs": 281640, "flops": 563280, "parameter_bytes": 177704,
            "peak_activation_bytes": 27648, "inference_bytes": 205352,
        }  # fmt: skip

    def test_json_of_a_vector_has_no_receptive_field(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        report = read_json(cnnspec("check", spec("input: [3]\nlayers: [dense: 2]\n"), "--format", "json").stdout)
        assert [layer["receptive_field"] for layer in report["layers"]] == [None, None]

    def test_json_of_a_fault(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        result = cnnspec("check", spec(FAULTY), "--format", "json")
        report = read_json(result.stdout)
        assert result.exit_code == 1
        assert (report["spec"], report["ok"], report["layers"], report["totals"]) == ("net", False, [], None)
        (fault,) = report["diagnostics"]
        assert (fault["code"], fault["severity"]) == ("kernel-too-large", "error")
        assert (fault["file"], fault["line"], fault["column"]) == ("net.yaml", 3, 33)
        assert fault["message"] == "`conv1` window does not fit its input"
        assert fault["help"].startswith("a kernel of at most 4")
        assert (fault["end_line"], fault["end_column"]) == (3, 34)
        assert {"label", "notes", "fixes", "others"} < set(fault)

    def test_several_specs(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        faulty = spec(FAULTY)
        result = cnnspec("check", "lenet", faulty, "mlp")
        assert result.exit_code == 1
        assert result.stdout.endswith("\n3 specs: 2 valid, 1 with errors\n")
        assert cnnspec("check", "lenet", "mlp").exit_code == 0
        reports = read_json(cnnspec("check", "lenet", faulty, "--format", "json").stdout)
        assert [(report["spec"], report["ok"]) for report in reports] == [("lenet", True), ("net", False)]

    def test_quiet(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        assert cnnspec("check", "-q", "lenet").stdout == ""
        result = cnnspec("check", "-q", "lenet", spec(FAULTY))
        assert result.exit_code == 1
        assert result.stdout.startswith("error[kernel-too-large]")
        assert result.stdout.count("error") == 1

    def test_warnings_do_not_fail(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        name = spec("input: [1, 9, 9]\nlayers:\n  - conv: {channels: 1, kernel: 5, padding: 2}\n")
        result = cnnspec("check", name)
        assert result.exit_code == 0
        assert "warning[padding-per-side]" in result.stdout
        assert "net.yaml: every shape fits" in result.stdout or "net: every shape fits, 1 warning" in result.stdout

    def test_other_input_and_batch(self, cnnspec: Cnnspec) -> None:
        args = ("check", "lenet", "--format", "json")
        one = read_json(cnnspec(*args).stdout)["totals"]
        eight = read_json(cnnspec(*args, "--batch", 8).stdout)["totals"]
        assert eight["peak_activation_bytes"] == 8 * one["peak_activation_bytes"]
        assert eight["parameters"] == one["parameters"]
        larger = read_json(cnnspec(*args, "--input", "3x32x32").stdout)["layers"]
        assert larger[0]["output"] == [3, 32, 32]
        assert larger[1]["output"] == [6, 28, 28]

    @pytest.mark.parametrize(("shape", "noun"), [("784", "vector"), ("3x32", "sequence"), ("1x2x3x4", "volume")])
    def test_a_shape_of_another_rank(self, cnnspec: Cnnspec, shape: str, noun: str) -> None:
        result = cnnspec("check", "lenet", f"--input={shape}")
        assert result.exit_code == 1
        assert f"is a {noun}, and the spec takes an image" in result.stdout

    @pytest.mark.parametrize("shape", ["0x8x8", "axbxc", "-1x8x8", "1x2x3x4x5", ""])
    def test_no_shape(self, cnnspec: Cnnspec, shape: str) -> None:
        result = cnnspec("check", "lenet", f"--input={shape}")
        assert result.exit_code == 2
        assert "write channels, height and width as 3x64x64" in result.stderr

    def test_set(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        name = spec("input: [1, 4, 4]\nparams: {width: 8}\nlayers:\n  - conv: {channels: $width, kernel: 3}\n")
        report = read_json(cnnspec("check", name, "--set", "width=32", "--format", "json").stdout)
        assert report["layers"][1]["output"] == [32, 2, 2]
        unknown = cnnspec("check", name, "--set", "widht=32")
        assert unknown.exit_code == 1
        assert "did you mean `width`?" in unknown.stdout
        mapping = cnnspec("check", name, "--set", "width={a: 1}")
        assert mapping.exit_code == 1
        assert "`width` takes an int, not a mapping" in mapping.stdout
        for wrong in ("width", "=3", "width=["):
            assert cnnspec("check", name, "--set", wrong).exit_code == 2

    def test_standard_input(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "-", input=SMALL)
        assert result.exit_code == 0
        assert "conv1" in result.stdout
        faulty = cnnspec("check", "-", input=FAULTY)
        assert faulty.exit_code == 1
        assert "--> <stdin>:3:33" in faulty.stdout

    def test_file_wins_over_bundled(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        spec(SMALL, "lenet.yaml")
        assert "1×4×4" in cnnspec("check", "lenet.yaml").stdout
        assert "1×28×28" in cnnspec("check", "lenet").stdout

    def test_nearest_bundled(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet_5")
        assert result.exit_code == 1
        assert "did you mean the bundled spec `lenet5`?" in result.stdout


class TestColour:
    def test_asked_for(self, cnnspec: Cnnspec) -> None:
        assert "\x1b[1mlenet\x1b[0m" in cnnspec("check", "lenet", env={"FORCE_COLOR": "1"}, color=True).stdout

    def test_refused(self, cnnspec: Cnnspec) -> None:
        environment = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
        assert "\x1b" not in cnnspec("check", "lenet", env=environment, color=True).stdout

    def test_not_in_a_pipe(self, process: Process) -> None:
        assert "\x1b" not in process("check", "lenet").stdout
        assert "\x1b[1m" in process("check", "lenet", env={"FORCE_COLOR": "1"}).stdout


class TestUsage:
    def test_nearest_command(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("chek", "lenet")
        assert result.exit_code == 2
        assert "there is no command `chek`. Did you mean `check`?" in result.stderr

    @pytest.mark.parametrize(
        "args",
        ["check", "run", "check lenet --bathc 2", "check lenet --batch 0", "check lenet --format xml",
         "run lenet --top 0", "run lenet --memory-limit x"],
    )  # fmt: skip
    def test_wrong_usage(self, cnnspec: Cnnspec, args: str) -> None:
        result = cnnspec(*args.split())
        assert result.exit_code == 2
        assert "Usage: cnnspec" in result.stderr

    @pytest.mark.parametrize("name", COMMANDS)
    def test_help(self, cnnspec: Cnnspec, name: str) -> None:
        assert cnnspec(name, "--help").exit_code == 0

    def test_help_lists_all_commands(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("--help").stdout
        assert all(re.search(rf"^  {name} +[A-Z]", text, re.M) for name in COMMANDS)

    def test_version(self, cnnspec: Cnnspec) -> None:
        assert package.__version__ in cnnspec("--version").stdout

    def test_as_a_module(self, process: Process) -> None:
        result = process("check", "lenet")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(LENET)
        assert process("chek").stderr.startswith("Usage: cnnspec [OPTIONS]")

    def test_terminal_without_these_characters(self, process: Process) -> None:
        result = subprocess.run(
            [sys.executable, "-m", "cnnspec", "check", "lenet"],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        )
        assert result.returncode == 0
        assert "pads ^v<>  parameters".encode("latin-1") in result.stdout
        assert "1×28×28  ".encode("latin-1") in result.stdout

    @pytest.mark.skipif(sys.platform == "win32", reason="a pipe closes otherwise there")
    def test_closed_pipe(self, tmp_path: Path) -> None:
        for command in ("layers", "check resnet50", "check resnet50 --format json"):
            line = f"{sys.executable} -m cnnspec {command} | head -1"
            result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path)
            assert len(result.stdout.splitlines()) == 1
            assert result.stderr == ""


class TestBadFiles:
    def test_missing(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "nowhere/zzz.yaml")
        assert result.exit_code == 1
        assert "cannot read `nowhere/zzz.yaml`: there is no such file" in result.stdout

    def test_directory(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        (tmp_path / "specs").mkdir()
        result = cnnspec("check", "specs")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: there is no spec in `specs`: no YAML file with the key ")

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "holds no spec"),
            (b"# nothing\n", "holds no spec"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xd8", "is not UTF-8 text"),
            (b"\0\0\0\0", "is a binary file"),
            (b"- conv\n- relu\n", "a spec is a mapping, not a list of 2"),
            (b"hello\n", "a spec is a mapping"),
            (b"a: [1, 2\n", "error[yaml-syntax]"),
        ],
    )
    def test_no_spec(self, cnnspec: Cnnspec, tmp_path: Path, content: bytes, says: str) -> None:
        (tmp_path / "bad.yaml").write_bytes(content)
        result = cnnspec("check", "bad.yaml")
        assert result.exit_code == 1
        assert says in result.stdout
        assert "bad.yaml" in result.stdout


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "null bytes": b"\0" * 64,
    "random": np.random.default_rng(0).bytes(4096),
    "utf-16": "input: [1]".encode("utf-16"),
    "bomb": b"a0: &a0 [x, x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 10)),
    "deep": b"[" * 50_000,
    "deep mapping": b"{a: " * 5_000,
    "self alias": b"&a [*a]\n",
    "tag": b"!!python/object/apply:os.system ['true']\n",
    "huge number": b"input: [" + b"9" * 5000 + b"]\nlayers: [relu]\n",
    "huge sizes": b"input: [2147483647, 2147483647, 2147483647]\nlayers: [flatten, dense: 2147483647]\n",
    "nan": b"input: [.nan, 1, 1]\nlayers: [dropout: .inf]\n",
    "numbers for keys": b"1: 2\n? [a]\n: b\n",
    "layers of lists": b"input: [1, 2, 2]\nlayers: [[[]], [conv], {}, null, 3, {conv: {kernel: {}}}]\n",
    "merges of nothing": b"input: [1, 2, 2]\nlayers: [add, concat: [], multiply: {a: 1}, add: {a: [from: x], b: []}]\n",
    "surrogates": b"name: \"\\ud800\"\ninput: [1]\nlayers: [relu]\n",
    "extends itself": b"extends: hostile.yaml\n",
    "extends a path": b"extends: ../../etc/passwd\n",
    "repeat": b"input: [1]\nlayers: [repeat: {times: 999999999, layers: [relu]}]\n",
    "power tower": b"input: [1]\nparams: {a: $(9999999 * 9999999 * 99999999)}\nlayers: [dense: $a]\n",
    "examples": b"input: [1]\nlayers: [relu]\nexamples: [{input: [[1, [2]], 3], output: x}, 3]\n",
    "safetensors": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    "npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }\n",
    "npz": b"PK\x03\x04 not a zip file",
    "png": b"\x89PNG\r\n\x1a\n and no more",
    "gzip": b"\x1f\x8b\x08\x00 and no more",
    "idx": b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(cnnspec: Cnnspec, tmp_path: Path, name: str) -> None:
    """As a spec, as weights, as an image: each is refused with a message (any other exception fails in `cnnspec`)."""
    (tmp_path / "hostile.yaml").write_bytes(HOSTILE[name])
    for args in (
        ["check", "hostile.yaml"],
        ["check", "hostile.yaml", "--explain", "--batch", "1000000"],
        ["check", "hostile.yaml", "--format", "json"],
        ["run", "hostile.yaml"],
        ["test", "hostile.yaml"],
        ["run", "lenet", "--weights", "hostile.yaml"],
        ["run", "lenet", "--input", "hostile.yaml"],
        ["run", "lenet", "--input", "hostile.yaml", "--resize"],
    ):
        result = cnnspec(*args)
        if result.exit_code == 0:  # it fits; only its sizes are hostile
            assert (args[0], name) in (("check", "huge sizes"), ("test", "huge sizes"))
            continue
        assert result.exit_code == 1, args
        assert "Traceback" not in result.output
        assert re.search("error|fault", result.output) or '"ok": false' in result.output, args


class TestRun:
    def image(self, tmp_path: Path, shape: tuple[int, ...] = (1, 28, 28)) -> Path:
        path = tmp_path / "x.npy"
        np.save(path, np.random.default_rng(1).random(shape, np.float32))
        return path

    def test_random_says_so(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("run", "lenet", "--seed", "7")
        assert result.exit_code == 0
        assert "lenet: 1 sample of random numbers from seed 7 (give files to run on your own)" in result.stdout
        assert "weights drawn at random from seed 7, not trained" in result.stdout
        assert re.search(r"^conv2 +16×8×8 +16×8×8$", result.stdout, re.M)
        assert result.stdout == cnnspec("run", "lenet", "--seed", "7").stdout
        assert result.stdout != cnnspec("run", "lenet", "--seed", "8").stdout

    @pytest.mark.parametrize("form", ["npy", "npz", "png", "idx", "idx.gz", "stdin"])
    def test_formats(self, cnnspec: Cnnspec, tmp_path: Path, form: str) -> None:
        """Pixels are the same numbers in every format."""
        import gzip

        pixels = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
        path, given = tmp_path / f"x.{form}", None
        idx = bytes((0, 0, 8, 3)) + np.array([1, 28, 28], ">i4").tobytes() + pixels.tobytes()
        match form:
            case "npy":
                np.save(path, pixels)
            case "npz":
                np.savez(path, pixels)
            case "png":
                from PIL import Image

                Image.fromarray(pixels).save(path)
            case "idx":
                path.write_bytes(idx)
            case "idx.gz":
                path.write_bytes(gzip.compress(idx))
            case "stdin":
                path, given = Path("-"), idx
        result = cnnspec("run", "lenet", "--input", path, "--output", "y.npy", input=given)
        assert result.exit_code == 0, result.output
        expected = package.build("lenet").predict(pixels[None, None] / 255)
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-6)

    def test_several_files(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        for name, n in (("a.npy", 1), ("b.npy", 2)):
            np.save(tmp_path / name, np.zeros((n, 1, 28, 28), np.float32))
        result = cnnspec("run", "lenet", "--input", "a.npy", "b.npy")
        assert "lenet: 3 samples\n" in result.stdout
        assert re.search(r"^  a.npy +\S.*\n  b.npy\[0\] +\S.*\n  b.npy\[1\] ", result.stdout, re.M)
        assert "lenet: 2 samples\n" in cnnspec("run", "lenet", "a.npy", "b.npy", "--batch", "2").stdout

    def test_sample_picture_has_a_class(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("run", "lenet", "boot.png", "--top", "2")
        assert result.exit_code == 0
        assert re.search(r"^  boot.png  [a-z -]+ \(\d+\.\d %\), [a-z -]+ \(\d+\.\d %\)$", result.stdout, re.M)

    def test_trace(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        x = np.load(self.image(tmp_path))
        assert cnnspec("run", "lenet", "x.npy", "--trace", "out/trace").exit_code == 0
        expected = package.build("lenet").trace(x[None])
        assert {path.stem for path in (tmp_path / "out/trace").iterdir()} == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(np.load(tmp_path / "out/trace" / f"{name}.npy"), value)

    def test_profile(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("run", "lenet", "--profile").stdout.splitlines()
        assert re.match(r"name +predicted +actual +ms +time$", lines[3])
        assert re.match(r"conv1 +6×24×24 +6×24×24 +\d+\.\d{3} +<?\d+\.\d %$", lines[6])

    def test_json(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        self.image(tmp_path)
        found = read_json(cnnspec("run", "lenet", "x.npy", "--top", "3", "--format", "json").stdout)
        assert list(found) == ["spec", "backend", "device", "dtype", "weights", "seed", "layers", "samples"]
        assert found["layers"][1]["predicted"] == found["layers"][1]["actual"] == [6, 24, 24]
        (sample,) = found["samples"]
        assert sample["source"] == "x.npy"
        assert len(sample["output"]) == 10
        probabilities = np.exp(sample["output"]) / np.exp(sample["output"]).sum()
        order = np.argsort(-probabilities)[:3]
        assert [entry["index"] for entry in sample["top"]] == order.tolist()
        assert [entry["probability"] for entry in sample["top"]] == pytest.approx(probabilities[order].tolist())

    def test_images_out(self, cnnspec: Cnnspec) -> None:
        assert "[[[19. 25.]\n  [37. 43.]]]" in cnnspec("run", "cross_correlation", "-", input=self.matrix()).stdout

    @staticmethod
    def matrix() -> bytes:
        import io

        file = io.BytesIO()
        np.save(file, np.arange(9.0).reshape(3, 3))
        return file.getvalue()

    def test_wrong_size(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        from PIL import Image

        Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
        result = cnnspec("run", "lenet", "photo.png")
        assert result.exit_code == 1
        for part in ("photo.png", "40", "30", "28", "--resize"):
            assert part in result.stderr
        assert cnnspec("run", "lenet", "photo.png", "--resize").exit_code == 0

    def test_no_numbers(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.full((1, 28, 28), np.nan))
        result = cnnspec("run", "lenet", "x.npy")
        assert result.exit_code == 1
        assert "NaN or infinite" in result.stderr

    def test_missing_input(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        for name, says in (("none.npy", "there is no file `none.npy`"), ("folder", "is a directory")):
            result = cnnspec("run", "lenet", name)
            assert result.exit_code == 1
            assert says in result.stderr

    def test_outgrown(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        name = spec(
            "input: [1]\nlayers: [dense: {units: 1, weight: [[1e38]], bias: 0}, dense: {units: 1, weight: [[1e38]]}]"
        )
        with np.errstate(all="ignore"):
            result = cnnspec("run", name, "--format", "json")
        assert result.exit_code == 1
        message = "1 of 1 outputs are NaN or infinite: numbers exceed the range of float32; `--dtype float64` has"
        assert message in result.stderr
        assert cnnspec("run", name, "--dtype", "float64").exit_code == 0

    @pytest.mark.parametrize(
        ("args", "says"),
        [
            (["--backend", "jax"], "there is no backend `jax`: there are numpy, torch"),
            (["--device", "cuda:9"], "device"),
            (["--dtype", "float8"], "has no dtype `float8`: it has float32, float64"),
            (["--weights", "lente"], "there are no weights `lente`"),
        ],
    )
    def test_unknown_things(self, cnnspec: Cnnspec, args: list[str], says: str) -> None:
        result = cnnspec("run", "lenet", *args)
        assert result.exit_code == 1
        assert says in result.stderr

    def test_unwritable_output(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for option, place in (("--output", "nowhere/y.npy"), ("--trace", "file/trace"), ("--output", "file/y.npy")):
            result = cnnspec("run", "lenet", option, place)
            assert result.exit_code == 1, result.output
            assert place in result.stderr

    def test_memory_is_refused_before_it_is_taken(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        """The chapter's dense layer of 256 on a photo of 1000×1000 pixels: 3 GB."""
        name = spec("input: [3, 1000, 1000]\nlayers: [flatten, dense: 256]\n")
        result = cnnspec("run", name)
        assert result.exit_code == 1
        assert "3.1 GB" in result.stderr
        assert "`dense1.weight` alone, 256×3000000, 3.1 GB" in result.stderr
        assert "--memory-limit" in result.stderr
        huge = spec("input: [3, 100000, 100000]\nlayers: [flatten, dense: 1000000]\n")
        assert cnnspec("run", huge).exit_code == 1
        assert cnnspec("run", "lenet", "--batch", "10000000").exit_code == 1
        assert cnnspec("run", "lenet", "--memory-limit", "100kB").exit_code == 1
        assert cnnspec("check", name).exit_code == 0


class TestOptionsOfTheBackend:
    """`--threads`, `--numerics` and `--autotune` are options of the backend, as `--option` is."""

    def test_they_reach_the_backend(self, cnnspec: Cnnspec) -> None:
        flags = ("--threads", "2", "--numerics", "fast", "--option", "autotune=false")
        found = read_json(cnnspec("run", "lenet", "--plan", "--format", "json", *flags).stdout)
        assert found["options"] == {"threads": 2, "numerics": "fast", "autotune": False}
        assert read_json(cnnspec("run", "lenet", "--plan", "--format", "json").stdout)["options"] == {}

    def test_a_run_keeps_them(self, cnnspec: Cnnspec, spec: Callable[..., str], tmp_path: Path) -> None:
        name = spec("input: [4]\nlayers: [dense: 3]\ntrain: {epochs: 1}\n")
        np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(30, 4)), y=np.arange(30) % 3)
        flags = ("--data", "data.npz", "--threads", "1", "--numerics", "strict", "--autotune")
        assert cnnspec("train", name, *flags, "--out", "out").exit_code == 0
        expected = {"threads": 1, "numerics": "strict", "autotune": True}
        assert read_json((tmp_path / "out" / "run.json").read_text())["options"] == expected
        assert cnnspec("evaluate", name, *flags, "--split", "train").exit_code == 0
        refused = cnnspec("train", "--resume", "out", "--threads", "2")
        assert refused.exit_code == 2
        assert "leave out --threads" in refused.stderr

    @pytest.mark.parametrize(
        ("args", "status", "says"),
        [
            (["--threads", "2", "--option", "threads=3"], 2, "the option `threads` is given twice: as 2 and as 3"),
            (["--option", "threads=2", "--option", "threads=3"], 2, "`threads` is given twice: as 2 and as 3"),
            (["--threads", "1", "--option", "threads=true"], 2, "`threads` is given twice: as 1 and as true"),
            (["--autotune", "--option", "autotune=false"], 2, "`autotune` is given twice: as true and as false"),
            (["--numerics", "odd"], 2, "'odd' is not one of 'strict', 'default', 'fast'"),
            (["--threads", "0"], 2, "0 is not in the range x>=1"),
            (["--threads", "2", "--option", "threads=2"], 0, ""),
        ],
    )
    def test_two_values(self, cnnspec: Cnnspec, args: list[str], status: int, says: str) -> None:
        result = cnnspec("run", "lenet", *args)
        assert result.exit_code == status
        assert says in result.stderr

    def test_a_backend_without_the_option_is_named(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("run", "lenet", "--compile")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: the backend numpy has no option `compile`; it has numerics, ")


class TestPlan:
    def test_table(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("run", "lenet", "--plan", "--batch", "4")
        assert result.exit_code == 0
        heading, _, columns, _, *rows = result.stdout.splitlines()
        assert heading == "lenet: plan for 4 samples; numpy on cpu, float32"
        assert columns.split() == [
            "name", "layers", "method", "layout", "shape", "memory", "workspace", "threads", "estimated", "measured",
        ]  # fmt: skip
        assert re.match(r"max_pool1 +conv \+ max_pool \+ tanh +\S+.* +(nhwc|hcwn) +[\d×]+ .* [mµ]s$", rows[0])
        assert re.fullmatch(
            r"total: \d+ steps, [\d.]+ [mµ]s estimated, [\d.]+ [mµ]s measured, [\d.]+ kB of workspace, which the steps "
            r"share", rows[-1],
        )  # fmt: skip

    def test_columns_that_fit_the_terminal(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("run", "lenet", "--plan", env={"COLUMNS": "80"}).stdout.splitlines()
        assert max(map(cells, lines[2:-1])) <= 80
        assert {"name", "method", "measured"} <= set(lines[2].split())

    def test_json(self, cnnspec: Cnnspec) -> None:
        found = read_json(cnnspec("run", "lenet", "--plan", "--batch", "3", "--format", "json").stdout)
        assert list(found) == ["spec", "backend", "device", "dtype", "options", "batch", "chunk", "steps", "total"]
        assert (found["batch"], found["chunk"]) == (3, 3)
        last = found["steps"][-1]
        assert list(last) == [
            "name", "layers", "method", "layout", "shape", "memory", "workspace", "threads", "estimated", "measured",
        ]  # fmt: skip
        assert (last["name"], last["layers"], last["memory"]) == ("dense3", "dense", 3 * 10 * 4)
        total = found["total"]
        assert total["measured"] == pytest.approx(sum(step["measured"] for step in found["steps"]))
        assert total["workspace"] == max(step["workspace"] for step in found["steps"])

    def test_chunks(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("run", "lenet", "--plan", "--batch", "1000", "--threads", "1").stdout.splitlines()
        assert re.fullmatch(
            r"the batch of 1,000 is computed in chunks of at most \d+: figures are of one chunk", lines[-1]
        )

    def test_the_batch_is_that_of_the_files(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((5, 1, 28, 28), np.float32))
        assert cnnspec("run", "lenet", "x.npy", "--plan").stdout.startswith("lenet: plan for 5 samples; ")

    def test_without_a_plan(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("run", "lenet", "--plan", "--numerics", "strict")
        assert (result.exit_code, result.stdout) == (1, "")
        says = "with strict numerics the numpy backend runs layer by layer, without a plan"
        assert result.stderr == f"error: numpy has no plan to show: {says}\n"

    @pytest.mark.parametrize("option", [["--output", "y.npy"], ["--trace", "t"], ["--profile"]])
    def test_nothing_else_is_written(self, cnnspec: Cnnspec, tmp_path: Path, option: list[str]) -> None:
        result = cnnspec("run", "lenet", "--plan", *option)
        assert result.exit_code == 2
        assert "leave out --output, --trace and --profile" in result.stderr
        assert not list(tmp_path.iterdir())


class TestWeights:
    @pytest.fixture
    def state(self) -> dict[str, np.ndarray]:
        return package.build("lenet").state()

    def test_round_trip(self, cnnspec: Cnnspec, state: dict[str, np.ndarray]) -> None:
        save_file(state, "w.safetensors")
        result = cnnspec("run", "lenet", "--weights", "w.safetensors")
        assert "weights w.safetensors" in result.stdout

    def test_wrong_ones_are_all_listed(self, cnnspec: Cnnspec, state: dict[str, np.ndarray]) -> None:
        state["conv1.weight"] = state["conv1.weight"][:, :, :3]
        state["dens1.bias"] = state.pop("dense1.bias")
        save_file({name: np.ascontiguousarray(value) for name, value in state.items()}, "w.safetensors")
        result = cnnspec("run", "lenet", "--weights", "w.safetensors")
        assert result.exit_code == 1
        assert "conv1.weight: expected [6, 1, 5, 5], found [6, 1, 3, 5]" in result.stderr
        assert "dense1.bias: expected [120], found nothing" in result.stderr
        assert "dens1.bias: found [120], and the network has no such tensor; did you mean" in result.stderr

    def test_nan(self, cnnspec: Cnnspec, state: dict[str, np.ndarray]) -> None:
        state["conv1.bias"][2] = np.nan
        save_file(state, "w.safetensors")
        result = cnnspec("run", "lenet", "--weights", "w.safetensors")
        assert result.exit_code == 1
        assert "conv1.bias: 1 of 6 numbers is NaN or infinite" in result.stderr

    def test_truncated(self, cnnspec: Cnnspec, state: dict[str, np.ndarray], tmp_path: Path) -> None:
        save_file(state, "w.safetensors")
        content = (tmp_path / "w.safetensors").read_bytes()
        for size in (0, 5, 100, len(content) - 1):
            (tmp_path / "w.safetensors").write_bytes(content[:size])
            result = cnnspec("run", "lenet", "--weights", "w.safetensors")
            assert result.exit_code == 1
            assert "`w.safetensors` is not a complete safetensors file" in result.stderr


class TestExamples:
    SPEC = """\
input: [1, 3, 3]
layers:
  - conv: {channels: 1, kernel: 2, weight: [[0, 1], [2, 3]], bias: 0}
examples:
  - name: figure
    input: [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    output: [[19, 25], [37, %d]]
"""

    def test_passing(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        result = cnnspec("test", spec(self.SPEC % 43), "--backend", "numpy")
        assert (result.exit_code, result.stdout) == (0, "net: 1 example on numpy: 1 passed\n")

    def test_failing(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        result = cnnspec("test", spec(self.SPEC % 44), "--backend", "numpy")
        assert result.exit_code == 1
        assert result.stdout == (
            "net: 1 example on numpy: 0 passed, 1 failed\n"
            "  net.yaml:5:5: figure, on numpy\n"
            "    expected  [[[[19. 25.]\n"
            "                 [37. 44.]]]]\n"
            "    actual    [[[[19. 25.]\n"
            "                 [37. 43.]]]]\n"
            "    largest difference 1, tolerance 1e-06\n"
        )

    def test_several_and_json(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        names = spec(self.SPEC % 43, "good.yaml"), spec(self.SPEC % 44, "bad.yaml"), spec(FAULTY, "faulty.yaml")
        result = cnnspec("test", *names, "lenet", "--backend", "numpy", "--format", "json")
        assert result.exit_code == 1
        found = read_json(result.stdout)
        assert [(entry["spec"], entry["ok"]) for entry in found] == [
            ("good", True), ("bad", False), ("faulty", False), ("lenet", True),
        ]  # fmt: skip
        assert found[1]["examples"] == [{"name": "figure", "backend": "numpy", "passed": False, "difference": 1.0}]
        assert found[2]["diagnostics"][0]["code"] == "kernel-too-large"

    def test_nothing_to_test(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        result = cnnspec("test", spec(SMALL))
        assert (result.exit_code, result.stdout) == (0, "net: no examples\n")

    def test_options_of_the_backend(
        self, cnnspec: Cnnspec, spec: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from cnnspec_numpy import options

        given = []
        checked = options.Options.checked
        monkeypatch.setattr(options.Options, "checked", lambda found: given.append(found) or checked(found))
        flags = ("--threads", "1", "--numerics", "strict")
        assert cnnspec("test", spec(self.SPEC % 43), "--backend", "numpy", *flags).exit_code == 0
        assert given == [{"threads": 1, "numerics": "strict"}]

    def test_unknown_backend(self, cnnspec: Cnnspec, spec: Callable[..., str]) -> None:
        result = cnnspec("test", spec(self.SPEC % 43), "--backend", "numpi")
        assert result.exit_code == 1
        assert "there is no backend `numpi`" in result.stderr


class TestReference:
    def test_layers(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("layers").stdout.splitlines()
        assert lines[2].startswith("dense  ")
        assert len(lines) == len(read_json(cnnspec("layers", "--format", "json").stdout))
        assert max(map(len, cnnspec("layers", env={"COLUMNS": "60"}).stdout.splitlines())) <= 60

    def test_one_layer(self, cnnspec: Cnnspec) -> None:
        page = cnnspec("layers", "max_pool").stdout
        assert page.startswith("max_pool\n\nThe largest number of each window.\n\nx [n, c, h, w] -> y [n, c, oh, ow]\n")
        assert "kernel    Size of the window. (required; `max_pool: …` sets it)" in page
        entry = read_json(cnnspec("layers", "conv", "--format", "json").stdout)
        assert entry["fields"]["stride"]["default"] == 1
        assert entry["fields"]["kernel"]["required"] is True

    def test_unknown_layer(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("layers", "maxpool")
        assert result.exit_code == 1
        assert "error: no layer is called `maxpool`; did you mean `max_pool`?" in result.stderr

    def test_specs(self, cnnspec: Cnnspec) -> None:
        found = {entry["name"]: entry for entry in read_json(cnnspec("specs", "--format", "json").stdout)}
        assert (found["lenet"]["parameters"], found["lenet"]["macs"]) == (44426, 281640)
        assert (found["lenet"]["input"], found["lenet"]["output"]) == ([1, 28, 28], [10])
        listed = {path.relative_to(ROOT / "specs").with_suffix("").as_posix() for path in ROOT.glob("specs/**/*.yaml")}
        assert set(found) == listed
        assert all(entry["about"] for entry in found.values())
        assert re.search(r"^lenet +1×28×28 +44,426 +281,640  LeNet", cnnspec("specs").stdout, re.M)

    def test_backends(self, cnnspec: Cnnspec) -> None:
        found = {entry["name"]: entry for entry in read_json(cnnspec("backends", "--format", "json").stdout)}
        assert found["numpy"] == {
            "name": "numpy", "version": f"numpy {np.__version__}", "devices": ["cpu"],
            "dtypes": ["float32", "float64"], "options": ["numerics", "threads", "autotune"], "fault": None,
        }  # fmt: skip
        assert re.search(
            r"^numpy  numpy \S+ +cpu +float32, float64 +numerics, threads, autotune$", cnnspec("backends").stdout, re.M
        )


class TestWriting:
    def test_init_writes_a_spec_that_fits(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        assert cnnspec("init", "mine.yaml").exit_code == 0
        assert cnnspec("check", "mine.yaml").stdout.startswith("mine: every shape fits\n")
        assert cnnspec("check", "mine.yaml", "--set", "width=8").exit_code == 0
        again = cnnspec("init", "mine.yaml")
        assert again.exit_code == 1
        assert "mine.yaml exists already" in again.stderr
        assert cnnspec("init", "nowhere/mine.yaml").exit_code == 1

    def test_render_checks_to_the_same_network(self, cnnspec: Cnnspec) -> None:
        assert cnnspec("render", "resnet20", "-o", "flat.yaml").exit_code == 0
        flat, whole = (
            read_json(cnnspec("check", name, "--format", "json").stdout) for name in ("flat.yaml", "resnet20")
        )
        assert (flat["layers"], flat["totals"]) == (whole["layers"], whole["totals"])
        assert cnnspec("render", "resnet20", "-o", "nowhere/flat.yaml").exit_code == 1

    def test_explain_a_code(self, cnnspec: Cnnspec) -> None:
        assert "window" in cnnspec("explain", "kernel-too-large").stdout
        result = cnnspec("explain", "kernel-to-large")
        assert result.exit_code == 1
        assert "did you mean `kernel-too-large`?" in result.stderr


class TestInit:
    def test_the_starter_checks_clean(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        written = cnnspec("init", "mine.yaml", "--no-schema").output
        assert written == "wrote mine.yaml: try `cnnspec check mine.yaml`\n"
        assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
        assert cnnspec("check", "-q", "mine.yaml").output == ""
        assert cnnspec("check", "mine.yaml").exit_code == 0
        again = cnnspec("init", "mine.yaml")
        assert (again.exit_code, again.stderr) == (1, "error: mine.yaml exists already: give another path\n")

    def test_its_first_line_leads_to_its_schema(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        assert "wrote cnnspec.schema.json" in cnnspec("init", "mine.yaml").output
        first = (tmp_path / "mine.yaml").read_text("utf-8").splitlines()[0]
        assert read_json((tmp_path / first.rpartition("=")[2]).read_text("utf-8"))["title"] == "cnnspec"
        (tmp_path / "cnnspec.schema.json").write_text("{}")
        assert "schema" not in cnnspec("init", "other.yaml").output, "one that is there stays"
        assert (tmp_path / "cnnspec.schema.json").read_text() == "{}"

    def test_it_can_be_printed(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        text = cnnspec("init", "-").output
        assert not list(tmp_path.iterdir())
        assert cnnspec("check", "-q", "-", input=text).exit_code == 0


class TestRender:
    def test_it_prints_or_writes(self, cnnspec: Cnnspec, tmp_path: Path) -> None:
        printed = cnnspec("render", "lenet", "--short").output
        assert "  - conv: {channels: 6, kernel: 5}\n" in printed
        assert cnnspec("render", "lenet", "--short", "-o", "out.yaml").output == ""
        assert (tmp_path / "out.yaml").read_text() == printed
        assert cnnspec("check", "-q", "out.yaml").exit_code == 0

    def test_parameters_are_put_in(self, cnnspec: Cnnspec) -> None:
        assert "  - dense: {units: 7}\n" in cnnspec("render", "resnet18", "--short", "--set", "classes=7").output


def test_wide_characters_keep_the_columns_aligned(cnnspec: Cnnspec, spec: Callable[..., str], tmp_path: Path) -> None:
    name = spec("input: [4]\nlayers: [dense: 3]\nclasses: [卷积層, b, é]\n")
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(30, 4)), y=np.arange(30) % 3)
    lines = cnnspec("evaluate", name, "--data", "data.npz", "--split", "train").stdout.splitlines()
    rule, *rows = lines[3:7]
    assert rule.startswith("──")
    assert [cells(row[: row.index("10") + 2]) for row in rows] == [cells(lines[2][: lines[2].index("samples") + 7])] * 3
    heading, rule, *rows = lines[-5:]
    assert {cells(line) for line in (heading, rule, *rows)} == {cells(rule)}


@pytest.mark.parametrize("command", [*COMMANDS, "weights convert", "weights show"])
def test_help_fits_a_terminal_of_80_columns(cnnspec: Cnnspec, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = cnnspec(*command.split(), "--help").stdout.splitlines()
    assert lines[0].startswith(f"Usage: cnnspec {command}")
    assert [line for line in lines if cells(line) > 80] == []

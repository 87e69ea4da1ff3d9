"""What people see on a terminal: lines that keep to its width, and characters that its encoding has."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Cnnspec

from cnnspec.wording import cells

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

SPEC = """\
name: tiny
input: [1, 8, 8]
classes: [trouser, pullover with a very long name that no terminal of sixty columns has room for, 鞋]
layers:
  - conv: {channels: 4, kernel: 3, name: the_first_convolution_of_a_network_with_long_names_of_layers}
  - relu
  - flatten
  - dense: 3
train: {epochs: 3, batch: 16, validation: 0.25}
"""

COMMANDS = [
    "check lenet", "check resnet18", "check unet", "check tiny.yaml", "check resnet18 --per-block",
    "check lenet --sizes", "check resnet20 --fit 1GB", "check resnet --set width=1,2 --fit 1GB",
    "diff lenet lenet5", "diff resnet18 resnet34", "run lenet --weights lenet boot.png",
    "run tiny.yaml --profile", "run lenet --plan", "run lenet --weights lenet boot.png --show",
    "run tiny.yaml --show --batch 5", "run m5 --show --maps 2", "verify tiny.yaml --backend numpy",
    "bench tiny.yaml --backend numpy --seconds 0.01 --rounds 1",
    "bench tiny.yaml --backend numpy --seconds 0.01 --plan",
    "evaluate tiny.yaml --data data.npz --split train", "data data.npz", "train tiny.yaml --data data.npz --out run",
    "train tiny.yaml --data data.npz --runs 2 --out runs",
    "layers", "layers conv", "layers attention", "specs", "backends", "weights show lenet", "explain lenet conv2",
    "explain", "test textbook/convolution", "show lenet", "show resnet18",
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(SPEC, "utf-8")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(64, 1, 8, 8)), y=np.arange(64) % 3)
    return tmp_path


SEVERAL = """
import shlex, sys
from cnnspec.cli import main
for command in sys.argv[1:]:
    print(f"<<{command}>>", flush=True)
    try:
        main(shlex.split(command), prog_name="cnnspec")
    except SystemExit as end:
        assert end.code in (0, 1, 2), end.code
    sys.stdout.flush()
"""
"""Runs commands one after the other in one process, which saves the imports of each."""


def on_terminal(commands: Sequence[str], folder: Path, width: int, **env: str) -> dict[str, str]:
    """What each command writes to a terminal of that width."""
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    given = {**kept, "TERM": "xterm-256color", "COLORTERM": "", **env}
    args = [sys.executable, "-c", SEVERAL, *commands]
    with subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=given) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux ends a terminal that nobody writes to so
                break
            if not part:
                break
            found += part
    os.close(ours)
    text = found.decode().replace("\r\n", "\n")
    assert process.returncode == 0, text
    return by_command(text)


def shown(command: str, folder: Path, width: int, **env: str) -> str:
    """What one command writes to a terminal of that width."""
    return on_terminal([command], folder, width, **env)[command]


def by_command(text: str) -> dict[str, str]:
    """The outputs of several commands by command."""
    parts = re.split(r"^<<(.*)>>\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def lines_of(text: str) -> list[str]:
    """The lines as they stand in the end: without colours, and without what was overwritten."""
    return [line.rpartition("\r")[2] for line in STYLE.sub("", re.sub(r"[^\n]*\r\x1b\[2?K", "", text)).split("\n")]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(files: Path, width: int) -> None:
    found = on_terminal(COMMANDS, files, width)
    assert [*found] == COMMANDS
    wide = {command: [line for line in lines_of(text) if cells(line) > width] for command, text in found.items()}
    assert {command: lines for command, lines in wide.items() if lines} == {}
    assert [command for command, text in found.items() if "Traceback" in text or "error" in text.split("\n")[0]] == []


class TestNarrow:
    def test_a_row_is_one_line(self, files: Path) -> None:
        lines = lines_of(shown("check resnet18", files, 60))
        start = next(i for i, line in enumerate(lines) if line.startswith("──"))
        assert lines[start + 1 : start + 70].count("") == 0
        assert lines[start + 70] == ""

    def test_names_keep_their_end(self, files: Path) -> None:
        lines = lines_of(shown("check tiny.yaml", files, 60))
        assert any(line.startswith("…") and "names_of_layers " in line for line in lines)

    def test_a_pipe_has_no_width(self, files: Path, process: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        lines = process("check", "resnet18").stdout.splitlines()
        assert max(map(cells, lines)) > 120

    def test_columns_gives_a_pipe_a_width(self, cnnspec: Cnnspec) -> None:
        lines = cnnspec("diff", "resnet18", "resnet34", env={"COLUMNS": "60"}).stdout.splitlines()
        assert max(map(cells, lines)) <= 60

    def test_a_confusion_matrix_gives_its_names_up_before_its_numbers(self, files: Path) -> None:
        wide = lines_of(shown("evaluate tiny.yaml --data data.npz --split train", files, 120))
        narrow = lines_of(shown("evaluate tiny.yaml --data data.npz --split train", files, 40))
        assert any(re.match(r"trouser +\d", line) for line in wide)
        assert any(re.match(r"0 +\d+ +\S+ +\S+$", line) for line in narrow)


ENCODED = [
    "check resnet18", "check lenet --explain", "diff lenet lenet5", "run lenet --weights lenet boot.png --show",
    "layers conv", "explain kernel-too-large", "bench --help", "specs", "run nowhere.yaml", "chek",
    "train tiny.yaml --data data.npz --out run", "evaluate tiny.yaml --data data.npz --split train",
    "bench tiny.yaml --backend numpy --seconds 0.01 --rounds 1", "check lenet --format json",
    "check tiny.yaml --set nothing=…", "init -", "schema", "show resnet18",
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_has_every_character(files: Path, encoding: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SEVERAL, *ENCODED],
        capture_output=True,
        cwd=files,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    written = result.stdout + result.stderr
    text = written.decode(encoding)
    assert result.returncode == 0, text
    assert "Traceback" not in text
    assert encoding != "ascii" or written.isascii()
    assert "?" not in by_command(result.stdout.decode(encoding))["check resnet18"]


class TestAscii:
    def run(self, folder: Path, *command: str) -> str:
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run(
            [sys.executable, "-m", "cnnspec", *command], capture_output=True, cwd=folder, env=environment, text=True
        ).stdout

    def test_signs_have_readable_forms(self, tmp_path: Path) -> None:
        assert "max_pool1: max_pool 2x2 /2, 6x24x24 -> 6x12x12" in self.run(tmp_path, "check", "lenet", "--explain")
        assert "height           floor((24 - 2 + 0 + 2) / 2) = 12" in self.run(tmp_path, "check", "lenet", "--explain")

    def test_columns_stay_aligned(self, tmp_path: Path) -> None:
        lines = self.run(tmp_path, "diff", "lenet", "lenet5").splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("----"))
        column = lines[start - 1].index("after") - 2
        assert {line[column : column + 2] for line in lines[start + 1 : start + 10]} == {"  "}

    def test_the_mark_stands_below_what_it_marks(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("# …\nname: … …\ninput: [1, 8, 8]\nlayers: [dense: {x…y: 1}]\n", "utf-8")
        lines = self.run(tmp_path, "check", "bad.yaml").splitlines()
        at = next(i for i, line in enumerate(lines) if "dense:" in line)
        assert lines[at].index("x...y") == lines[at + 1].index("^")
        assert "^^^^^" in lines[at + 1]

    def test_json_keeps_every_character(self, tmp_path: Path) -> None:
        (tmp_path / "net.yaml").write_text("name: 卷积…\ninput: [4]\nlayers: [dense: 3]\n", "utf-8")
        assert json.loads(self.run(tmp_path, "check", "net.yaml", "--format", "json"))["spec"] == "卷积…"


class TestColours:
    @pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_none_where_they_are_not_wanted(self, files: Path, env: dict[str, str]) -> None:
        commands = ("check lenet", "run lenet --weights lenet boot.png --show", "diff lenet lenet5")
        for text in on_terminal(commands, files, 80, **env).values():
            assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", text)

    def test_some_on_a_terminal(self, files: Path) -> None:
        assert "\x1b[1m" in shown("check lenet", files, 80)


def test_markdown_keeps_its_rows_whole(cnnspec: Cnnspec) -> None:
    rows = [
        cnnspec("diff", "lenet", "lenet5", "--format", "markdown", env=env).stdout for env in ({"COLUMNS": "40"}, {})
    ]
    assert rows[0] == rows[1]

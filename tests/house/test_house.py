"""The rules of the house: which way imports point, what is light, what stands in one place, what is documented."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent, indent

import pytest
from conftest import ROOT

import cnnspec
from cnnspec.layers import LAYERS, Layer
from cnnspec.layers.reference import reference

MODULES = {
    ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
    for root in (ROOT, ROOT / "backends")
    for package in ("cnnspec", "cnnspec_numpy", "cnnspec_torch")
    for path in sorted((root / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}
CORE = [name for name in MODULES if name.split(".")[0] == "cnnspec"]
BACKENDS = [name for name in MODULES if name not in CORE]


def imports(name: str) -> Iterator[str]:
    """The modules that a module imports: at the top, inside of functions, and those for type checkers."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def ours(name: str) -> set[str]:
    return {found for found in imports(name) if found.split(".")[0] in ("cnnspec", "cnnspec_numpy", "cnnspec_torch")}


def within(name: str, *homes: str) -> bool:
    return any(name == home or name.startswith(f"{home}.") for home in homes)


# The floors of the house, from the ground up. A room imports rooms on lower floors only; `cnnspec` itself, which lists
# the public names, stands on the roof, and so does `python -m cnnspec`.
GROUND = (
    "arrays",
    "atomic",
    "bundled",
    "diagnostics",
    "display",
    "encoding",
    "errors",
    "machine",
    "rng",
    "sizes",
    "version",
    "wording",
)
FLOORS = (
    "layers",
    "graph",
    "language",
    "weights",
    "data",
    "runtime",
    "training",
    "testing",
    "view",
    "diagram",
    "interop",
    "bench",
    "notebook",
    "report",
    "live",
    "lsp",
    "cli",
)
BACKENDS_KNOW = ("layers", "graph", "runtime")
"""The rooms that a backend may import beside the ground floor."""


def room(module: str) -> str:
    """The folder that a module stands in: `ground` for those that import nothing of ours, `roof` for the package."""
    first, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    if first != "cnnspec":
        return first
    return "ground" if name in GROUND else name if name in FLOORS else "roof"


def floor(module: str) -> int:
    order = ("ground", *FLOORS, "roof")
    return order.index(room(module))


class TestFloors:
    """Imports point one way: at the top of a file, inside of functions, and those for type checkers alike."""

    def test_every_module_has_its_room(self) -> None:
        stray = [name for name in CORE if room(name) == "roof" and name not in ("cnnspec", "cnnspec.__main__")]
        assert stray == []
        folders = {path.name for path in (ROOT / "cnnspec").iterdir() if (path / "__init__.py").exists()}
        assert folders == set(FLOORS)

    @pytest.mark.parametrize("name", CORE)
    def test_a_room_imports_lower_floors(self, name: str) -> None:
        wrong = {n for n in ours(name) if room(n) != room(name) and floor(n) >= floor(name)}
        assert wrong == set()

    @pytest.mark.parametrize("name", [name for name in CORE if room(name) == "ground"])
    def test_the_ground_floor_imports_itself_alone(self, name: str) -> None:
        assert {room(n) for n in ours(name)} <= {"ground"}

    @pytest.mark.parametrize("name", BACKENDS)
    def test_a_backend_knows_the_graph_the_layers_and_the_protocol(self, name: str) -> None:
        allowed = {"ground", *BACKENDS_KNOW, room(name)}
        assert {n for n in ours(name) if room(n) not in allowed} == set()

    @pytest.mark.parametrize("name", CORE)
    def test_nothing_imports_a_backend(self, name: str) -> None:
        assert {n for n in ours(name) if not n.startswith("cnnspec.")} == set()

    def test_no_circle_of_files(self) -> None:
        assert circle({name: {n for n in ours(name) if n in MODULES and n != name} for name in MODULES}) == []

    def test_no_circle_of_rooms(self) -> None:
        edges: dict[str, set[str]] = {}
        for name in MODULES:
            edges.setdefault(room(name), set()).update(room(n) for n in ours(name) if room(n) != room(name))
        assert circle(edges) == []

    @pytest.mark.parametrize("name", [name for name in CORE if within(name, "cnnspec.layers")])
    def test_layers_know_no_text(self, name: str) -> None:
        assert not {"yaml", "cnnspec.diagnostics"} & {*imports(name)}

    def test_what_check_needs_imports_no_numpy(self) -> None:
        """Also where it imports late: whatever `check` may reach is free of frameworks."""
        found: set[str] = set()
        waiting = ["cnnspec.cli.check"]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [n for n in ours(name) if n in MODULES]
                waiting += [name.rpartition(".")[0]] if name.count(".") > 1 else []
        assert {"cnnspec.language.expand", "cnnspec.graph.costs", "cnnspec.cli"} <= found
        heavy = {"numpy", "torch", "safetensors", "PIL"}
        guilty = {name: sorted(heavy & {n.split(".")[0] for n in imports(name)}) for name in found}
        assert {name: heavies for name, heavies in guilty.items() if heavies} == {}

    @pytest.mark.parametrize("folder", FLOORS)
    def test_a_room_says_what_it_is_for_and_what_it_imports(self, folder: str) -> None:
        about = ast.get_docstring(TREES[f"cnnspec.{folder}"]) or ""
        assert re.search(r"\bUses\b", about), about


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A way that leads back to where it began, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for other in sorted(edges.get(name, ())):
                if found := visit(other, (*path, name)):
                    return found
            done.add(name)
        return []

    return next((found for name in edges if (found := visit(name, ()))), [])


class TestLight:
    @pytest.mark.parametrize(
        "code",
        [
            "import cnnspec",
            "import cnnspec; cnnspec.load('lenet')",
            "from cnnspec.cli import main; main(['check', 'lenet'], standalone_mode=False)",
            "from cnnspec.cli import main; main(['check', 'lenet', '--explain'], standalone_mode=False)",
            "from cnnspec.cli import main; main(['check', 'resnet50', '--format', 'json'], standalone_mode=False)",
        ],
    )
    def test_no_framework(self, process: Callable[..., CompletedProcess[str]], code: str) -> None:
        after = "import sys, json\ntry: exec(sys.argv[1])\nexcept SystemExit as end: assert not end.code\n"
        after += "print('\\n' + json.dumps([m for m in ('numpy', 'torch', 'safetensors', 'rich') if m in sys.modules]))"
        result = process(code, code=after)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout.splitlines()[-1]) == []


class TestOnePlace:
    @pytest.mark.parametrize("name", [n for n in CORE if not within(n, "cnnspec.layers.geometry", "cnnspec.testing")])
    def test_window_arithmetic_stands_in_geometry(self, name: str) -> None:
        """Nothing else divides by a stride or stretches a kernel by a dilation."""
        for node in ast.walk(TREES[name]):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv | ast.Mod | ast.Div):
                if isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
                    continue
                assert not re.search(r"stride|dilation", ast.unparse(node.right)), ast.unparse(node)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                text = ast.unparse(node)
                assert not re.search(r"\b(k|kh|kw|kernel(\[\w\])?) - 1\b", text), text

    def test_a_layer_has_one_kernel_in_each_backend(self) -> None:
        from cnnspec_numpy.kernels import KERNELS

        assert KERNELS.keys() == LAYERS.keys()

    def test_a_layer_has_one_op_in_torch(self) -> None:
        pytest.importorskip("torch")
        from cnnspec_torch.ops import OPS

        assert OPS.keys() - {"input"} == LAYERS.keys()

    @pytest.mark.parametrize("name", MODULES)
    def test_files_can_be_read_in_one_sitting(self, name: str) -> None:
        lines = MODULES[name].read_text("utf-8").count("\n")
        assert lines <= 350


SHAPE_LINE = re.compile(r"^x \[n, (?P<x>[^\]]+)\] -> y \[n, (?P<y>[^\]]+)\]$", re.M)
AXES = {"c, h, w", "c, oh, ow", "o, oh, ow", "o, h, w", "h, c, w", "f", "o", "c", "c, ...", "o, ...", "..."}


def example(cls: type[Layer]) -> str:
    """The indented YAML of a layer's documentation."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    - "))
    end = next((i for i in range(start, len(lines)) if lines[i] and not lines[i].startswith("    ")), len(lines))
    return dedent("\n".join(lines[start:end]))


@pytest.mark.parametrize("kind", LAYERS)
class TestDocumentation:
    def test_shape_line(self, kind: str) -> None:
        found = SHAPE_LINE.search(inspect.cleandoc(LAYERS[kind].__doc__ or ""))
        assert found, "a line like `x [n, c, h, w] -> y [n, o, oh, ow]`"
        assert found["x"] in AXES
        assert found["y"] in AXES

    def test_example_builds_as_the_shape_line_says(self, kind: str) -> None:
        found = SHAPE_LINE.search(inspect.cleandoc(LAYERS[kind].__doc__ or ""))
        assert found
        layers = indent(example(LAYERS[kind]), "  ")
        size = "12" if found["x"] == "f" else "12, 16, 16"
        spec = cnnspec.loads(f"input: [{size}]\nlayers:\n{layers}\n")
        graph = spec.graph
        assert kind in {node.kind for node in graph.nodes}
        assert spec.warnings == ()
        before, after = graph.input.shape, graph.output.shape
        named = dict(zip(found["x"].split(", "), before, strict=False))
        wanted = found["y"].split(", ")
        if wanted[-1] == "...":
            assert after[len(wanted) - 1 :] == before[len(wanted) - 1 :]
            wanted = wanted[:-1]
        else:
            assert len(after) == len(wanted)
        for axis, size_of_it in zip(wanted, after, strict=False):
            if axis in named and axis != "f":
                assert size_of_it == named[axis], axis

    def test_every_field_says_what_it_is(self, kind: str) -> None:
        for name, field in reference(LAYERS[kind])["fields"].items():
            assert field["about"].endswith("."), name
            assert field["schema"], name

    def test_first_line_is_a_sentence(self, kind: str) -> None:
        headline = inspect.cleandoc(LAYERS[kind].__doc__ or "").split("\n\n")[0]
        assert re.fullmatch(r"\S.*\.", headline, re.S)


@pytest.mark.parametrize("name", [name for name in MODULES if not within(name, "cnnspec_torch.ops")])
def test_public_functions_are_documented(name: str) -> None:
    assert ast.get_docstring(TREES[name]), name
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name}"
    for node in TREES[name].body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name}"


def test_lazy_names_are_there() -> None:
    assert set(cnnspec.__all__) == set(cnnspec._HOMES) == set(dir(cnnspec))
    for name in cnnspec.__all__:
        assert getattr(cnnspec, name).__name__ == name


def test_no_traces_of_the_workshop() -> None:
    """No path of a machine stands in what is shipped."""
    for path in (Path(p) for folder in ("cnnspec", "backends", "specs", "docs") for p in ROOT.glob(f"{folder}/**/*")):
        if path.suffix in (".py", ".yaml", ".md"):
            assert not re.search(r"/(home|work|tmp|root|Users)/\w", path.read_text("utf-8")), path

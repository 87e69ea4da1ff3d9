"""Definitions, references and renaming of parameters, blocks and layers."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnspec
from cnnspec import bundled
from cnnspec.diagnostics import Source
from cnnspec.language.edits import apply
from cnnspec.language.files import read_spec
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.definition import definition, references
from cnnspec.lsp.names import names_of
from cnnspec.lsp.rename import CannotRename, renamable, rename

SPEC = """\
params: {width: 8, unit: down}
input: [3, 32, 32]
blocks:
  down:
    params: {c: int, s: 2}
    layers:
      - conv: {channels: $c, kernel: 3, stride: $s, padding: same, name: body}
      - relu
layers:
  - down: {c: $width, name: mid}
  - $unit: {s: 1, c: $(width * 2), name: late}
  - repeat: {each: {k: [1, 3]}, name: stage, layers: [conv: {channels: $width, kernel: $k, padding: same}]}
  - add: {a: [], b: [from: stage1.conv1]}
  - concat: {a: [from: mid.body], b: [from: "late", conv: {channels: 2, kernel: 1, norm: batch_norm}]}
  - repeat: {times: 2, index: i, layers: [relu: {name: "r$i"}]}
  - add: {a: [], b: [from: r1]}
  - conv: {channels: 3, kernel: 1}
outputs: [conv2, late]
classes: {late: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]}
train: {freeze: [mid, "late.*"], losses: {late: dice, conv2: l1}}
"""
ANALYSIS = Analysis(Source("net.yaml", SPEC))


def offset(place: str) -> int:
    """The offset of `|` in an excerpt of the spec."""
    found = SPEC.index(place.replace("|", ""))
    return found + place.index("|")


def changed(place: str, new: str) -> dict[int, str]:
    """The lines that a renaming changes, by their numbers."""
    after = apply(ANALYSIS.source, rename(ANALYSIS, offset(place), new)).text
    pairs = zip(SPEC.splitlines(), after.splitlines(), strict=True)
    return {i: line.strip() for i, (old, line) in enumerate(pairs, 1) if line != old}


def test_the_spec_is_valid() -> None:
    assert [d.code for d in ANALYSIS.diagnostics if d.severity == "error"] == []


@pytest.mark.parametrize(
    ("use", "definition_line", "name"),
    [
        ("channels: $|c", 5, "c"),
        ("stride: $s|", 5, "s"),
        ("$(wid|th * 2)", 1, "width"),
        ("kernel: $|k", 12, "k"),
        ("- |down: {c", 4, "down"),
        ("unit: do|wn", 4, "down"),
        ("down: {|c: $width", 5, "c"),
        ("from: m|id.body", 10, "mid"),
        ("mid.bo|dy", 7, "body"),
        ('"la|te"', 11, "late"),
        ("st|age1.conv1", 12, "stage"),
        ("stage1.co|nv1", 12, "conv"),
        ("outputs: [c|onv2", 17, "conv"),
        ("freeze: [m|id", 10, "mid"),
        ("losses: {l|ate", 11, "late"),
        ("r$|i", 15, "i"),
    ],
)
def test_definitions(use: str, definition_line: int, name: str) -> None:
    found = definition(ANALYSIS, offset(use))
    assert found is not None
    assert (found.line, found.text) == (definition_line, name)


def test_what_has_no_definition() -> None:
    for place in ("ker|nel: 3", "- re|lu", "times: |2", "$i|n" if "$in" in SPEC else "padding: s|ame"):
        assert definition(ANALYSIS, offset(place)) is None


def test_references() -> None:
    assert [span.line for span in references(ANALYSIS, offset("wid|th: 8"))] == [1, 10, 11, 12]
    assert [span.line for span in references(ANALYSIS, offset("name: m|id"))] == [10, 14, 20]
    assert references(ANALYSIS, offset("padding: s|ame")) == []


def test_extends_leads_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SPEC)
    text = "extends: base.yaml\nparams: {width: 4}\n"
    analysis = Analysis(Source(str(tmp_path / "net.yaml"), text))
    base = definition(analysis, text.index("base"))
    assert base is not None
    assert base.source.name == str(tmp_path / "base.yaml")
    width = definition(analysis, text.index("width"))
    assert width is not None
    assert (width.source.name, width.line) == (str(tmp_path / "base.yaml"), 1)
    with pytest.raises(CannotRename, match="rename it there"):
        rename(analysis, text.index("width"), "w")


@pytest.mark.parametrize(
    ("place", "new", "lines"),
    [
        ("wid|th: 8", "w", [1, 10, 11, 12]),
        ("do|wn:\n", "unit2", [1, 4, 10]),
        ("name: m|id", "middle", [10, 14, 20]),
        ("name: bo|dy", "inner", [7, 14]),
        ("name: l|ate", "second", [11, 14, 18, 19, 20]),
        ("name: st|age", "part", [12, 13]),
        ("stage1.co|nv1", "first", [12, 13]),
        ("outputs: [c|onv2", "last", [17, 18, 20]),
        ("kernel: $|k", "size", [12]),
    ],
)
def test_renaming_changes_every_use_and_nothing_else(place: str, new: str, lines: list[int]) -> None:
    after = apply(ANALYSIS.source, rename(ANALYSIS, offset(place), new))
    assert sorted(changed(place, new)) == lines
    old, renamed = cnnspec.load(ANALYSIS.source), cnnspec.load(after)
    assert [(n.layer, n.shape) for n in old.graph.nodes] == [(n.layer, n.shape) for n in renamed.graph.nodes]


def test_a_part_of_a_name_alone_is_changed() -> None:
    assert changed("name: m|id", "m2")[14].startswith("- concat: {a: [from: m2.body]")
    assert changed("name: st|age", "s")[13] == "- add: {a: [], b: [from: s1.conv1]}"


def test_a_layer_without_a_name_gets_one() -> None:
    assert changed("- con|v: {channels: 3", "head")[17] == "- conv: {channels: 3, kernel: 1, name: head}"
    assert renamable(ANALYSIS, offset("- con|v: {channels: 3")).symbol.name == "conv2"


@pytest.mark.parametrize(
    ("place", "new", "why"),
    [
        ("ker|nel: 3", "size", "no name"),
        ("name: m|id", "late", "called `late"),
        ("name: m|id", "a b", "cannot be called `a b`"),
        ("wid|th: 8", "unit", "written twice"),
        ("wid|th: 8", "in", "cannot be called `in`"),
        ("wid|th: 8", "k", "`add1` joins"),
        ("do|wn:\n", "relu", "no kind of a layer"),
        ('"r|$i"', "q", "no name"),
        ("b: [from: r|1", "q", "computed"),
        ("{|c: int", "ch", "has no `c`"),
    ],
)
def test_what_cannot_be_renamed(place: str, new: str, why: str) -> None:
    with pytest.raises(CannotRename, match=why):
        rename(ANALYSIS, offset(place), new)


@pytest.mark.parametrize("name", bundled.names())
def test_every_parameter_of_a_bundled_spec_can_be_found(name: str) -> None:
    """Wherever a name of `params` stands behind `$`, it is known where it is declared."""
    analysis = Analysis(read_spec(name))
    known = {o.span.range[0] for o in names_of(analysis).occurrences if o.span.source == analysis.source}
    text = analysis.source.text
    own = analysis.root.get("params") if analysis.root is not None else None
    for param in own.keys if own is not None else ():
        start = text.find(f"${param}", text.index("layers:") if "layers:" in text else 0)
        following = text[start + 1 + len(param) : start + 2 + len(param)]
        assert start < 0 or following.isalnum() or following == "_" or start + 1 in known


def test_a_name_that_means_something_else_is_refused() -> None:
    """The text stays valid, and its network would be another one."""
    text = """\
params: {width: 8}
input: [3, 8, 8]
blocks: {unit: {params: {c: int}, layers: [conv: {channels: $c, kernel: 1}, conv: {channels: $width, kernel: 1}]}}
layers: [unit: 4]
"""
    with pytest.raises(CannotRename, match="the name has a meaning already"):
        rename(Analysis(Source("net.yaml", text)), text.index("c: int"), "width")

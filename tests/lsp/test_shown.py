"""What an editor shows: hovers, inlay hints, the outline, quick fixes, and where all of these are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnnspec
from cnnspec import bundled
from cnnspec.diagnostics import Diagnostic, Edit, Fix, Label, Source, Span
from cnnspec.language.files import read_spec
from cnnspec.lsp.actions import actions
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.hints import hints
from cnnspec.lsp.hover import hover
from cnnspec.lsp.outline import Entry, outline
from cnnspec.lsp.positions import Positions, point_of, range_of

SPEC = """\
params: {width: 8, act: relu}
input: [3, 32, 32]
blocks:
  unit:
    params: {c: int, s: 2}
    layers:
      - conv: {channels: $c, kernel: 3, stride: $s, padding: same, norm: batch_norm, activation: $act}
layers:
  - unit: $width
  - unit: {c: $(width * 2), name: second}
  - conv: {channels: $(in * 2), kernel: 1, groups: 2}
  - add: {main: [conv: {channels: 32, kernel: 3, padding: same}], skip: []}
  - global_avg_pool
  - dense: 10
train: {optimizer: {sgd: {momentum: 0.9}}}
"""


def analysis(text: str, earlier: Analysis | None = None) -> Analysis:
    return Analysis(Source("net.yaml", text), earlier=earlier)


WHOLE = analysis(SPEC)


def shown(place: str, of: Analysis = WHOLE) -> str:
    """What is shown at `|` in an excerpt of the text."""
    start = of.source.text.index(place.replace("|", ""))
    found = hover(of, start + place.index("|"))
    return found.markdown if found is not None else ""


class TestHover:
    def test_a_layer_has_its_figures_and_its_page(self) -> None:
        text = shown("- co|nv: {channels: $(in")
        assert text.startswith("**`conv2`**: conv 1×1 in 2 groups, 16×8×8 → 32×8×8\n")
        for part in ("⌊(8 − 1 + 0 + 1) / 1⌋ = 8", "32 × 8 × 1 × 1 = 256", "MACs  ", "7×7 of the input", "Textbook 1.1"):
            assert part in text

    def test_the_figures_are_those_of_explain(self) -> None:
        assert "parameters       330, " in shown("- den|se: 10")
        spec = cnnspec.loads(SPEC)
        assert sum(p.size for p in spec.graph.by_name["dense1"].parameters.values()) == 330

    def test_a_layer_of_a_block_has_the_shapes_of_its_uses(self) -> None:
        text = shown("- co|nv: {channels: $c")
        assert "used 2 times" in text
        assert "conv1: 3×32×32 → 8×16×16" in text
        assert "second.conv1: 8×16×16 → 16×8×8" in text

    def test_a_norm_and_an_activation_are_layers(self) -> None:
        assert "`batch_norm`" in shown("norm: batch_n|orm")

    @pytest.mark.parametrize(
        ("place", "text"),
        [
            ("unit: $wid|th", "**`$width`** = `8`: a parameter of the spec."),
            ("$(wid|th * 2)", "`$(width * 2)` = `16`"),
            ("$(i|n * 2)", "`$(in * 2)` = `32`"),
            ("channels: $|c", "a parameter of the block `unit`, int; every use gives it"),
            ("stride: $s|", "a parameter of the block `unit`, size; `2` by default"),
            ("- un|it: $", "**block `unit`**(c: int, s = 2)"),
            ("- un|it: $", "8×16×16, 16×8×8"),
            ("ker|nel: 1", "Size of the window."),
            ("str|ide: $s", "Default: `1`"),
            ("optim|izer", "The rule by which the parameters are updated"),
            ("mom|entum", "Fraction of the last velocity"),
            ("lay|ers:\n  - unit", "The layers, each reading the one before it."),
            ("gr|oups: 2", "Number of groups"),
            ("dense: 1|0", "**`units`**: Number of outputs."),
        ],
    )
    def test_what_else_has_a_meaning(self, place: str, text: str) -> None:
        assert text in shown(place)

    def test_nothing_is_shown_where_nothing_is(self) -> None:
        assert hover(analysis("# nothing\n"), 3) is None
        assert hover(analysis("input: [3]  # a vector\nlayers: [relu]\n"), 16) is None

    def test_layers_before_an_error_are_shown(self) -> None:
        broken = analysis(SPEC.replace("dense: 10", "dense: ten"))
        assert "16×8×8 → 32×8×8" in shown("- co|nv: {channels: $(in", broken)


class TestHints:
    def by_line(self, text: str) -> dict[str, str]:
        found = analysis(text)
        return {found.source.lines[hint.line - 1].strip(): hint.text for hint in hints(found)}

    def test_the_shape_behind_each_line(self) -> None:
        found = self.by_line(SPEC)
        assert found["- unit: $width"] == "→ 8×16×16"
        assert found["- global_avg_pool"] == "→ 32"
        assert found["- add: {main: [conv: {channels: 32, kernel: 3, padding: same}], skip: []}"] == "→ 32×8×8"
        assert next(text for line, text in found.items() if "$c" in line) == "→ 8×16×16, 16×8×8"

    @pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg11"])
    def test_they_are_the_shapes_of_the_check(self, name: str) -> None:
        source = read_spec(name)
        ends = {node.span.line: node.shape for node in cnnspec.load(source).graph.nodes if node.span is not None}
        for hint in hints(Analysis(source)):
            assert hint.text == "→ " + "×".join(map(str, ends[hint.line]))

    def test_of_many_uses_a_few_are_shown(self) -> None:
        spec = "input: [1, 64, 64]\nlayers:\n  - repeat:\n      times: 5\n      layers:\n        - max_pool: 2\n"
        assert self.by_line(spec)["- max_pool: 2"] == "→ 1×32×32, 1×16×16, 1×8×8, …"
        (tooltip,) = (hint.tooltip for hint in hints(analysis(spec), 6, 6))
        assert tooltip.endswith("1×32×32, 1×16×16, 1×8×8, 1×4×4, 1×2×2")

    def test_behind_an_error_there_are_none(self) -> None:
        found = self.by_line(SPEC.replace("- global_avg_pool", "- conv: {channels: 2, kernel: 99}"))
        assert "- unit: $width" in found
        assert not [line for line in found if "99" in line]

    def test_only_the_lines_that_are_asked_for(self) -> None:
        assert [hint.line for hint in hints(WHOLE, 13, 13)] == [13]


def names(entries: list[Entry] | tuple[Entry, ...]) -> list[str]:
    return [entry.name for entry in entries]


def test_the_outline() -> None:
    found = {entry.name: entry for entry in outline(WHOLE)}
    assert list(found) == ["params", "input", "blocks", "layers", "train"]
    assert [(entry.name, entry.detail) for entry in found["params"].inside] == [("width", "8"), ("act", "relu")]
    assert names(found["layers"].inside) == ["unit", "second", "conv2", "add1", "global_avg_pool1", "dense1"]
    assert found["layers"].inside[1].detail == "unit 16×8×8"
    add = found["layers"].inside[3]
    assert names(add.inside) == ["main", "skip"]
    assert names(add.inside[0].inside) == ["conv3"]
    assert names(found["blocks"].inside[0].inside) == ["conv"]
    assert outline(analysis("[")) == []


@pytest.mark.parametrize("name", bundled.names())
def test_an_entry_lies_within_the_one_around_it(name: str) -> None:
    """Editors refuse an outline whose ranges do not nest, or whose names lie outside of their ranges."""

    def nested(entry: Entry) -> None:
        first, last = entry.span.range
        assert first <= entry.name_span.range[0] <= entry.name_span.range[1] <= last, entry.name
        for inner in entry.inside:
            assert first <= inner.span.range[0] <= inner.span.range[1] <= last, (entry.name, inner.name)
            nested(inner)

    for entry in outline(Analysis(read_spec(name))):
        nested(entry)


def test_quick_fixes_are_those_of_the_diagnostics_at_the_place() -> None:
    found = analysis(SPEC)
    source = found.source
    at = Span(source, 14, 5, 14, 10)
    first = Fix("first", (Edit(at, "relu"),), certain=True)
    second = Fix("second", (Edit(at, "tanh"),))
    elsewhere = Span(Source("base.yaml", SPEC), 14, 5, 14, 10)
    found.diagnostics = [
        Diagnostic("unknown-kind", "here", Label(at), fixes=(first, second)),
        Diagnostic("unknown-kind", "elsewhere", Label(elsewhere), fixes=(first,)),
    ]
    start, end = at.range
    assert [(a.fix.title, a.preferred) for a in actions(found, start + 1, start + 1)] == [
        ("first", True),
        ("second", False),
    ]
    assert [*actions(found, end + 1, end + 9)] == []


class TestPositions:
    def test_emoji_are_two_units(self) -> None:
        positions = Positions("a: 🎒b\r\nc")
        assert positions.of(4) == (0, 5)
        assert positions.offset(positions.of(4)) == 4
        assert Positions("a: 🎒b", "utf-8").of(4) == (0, 7)
        assert Positions("a: 🎒b", "utf-32").of(4) == (0, 4)

    @given(st.text("aé🎒\n\r\u2028\x85\x0c", max_size=30), st.sampled_from(["utf-8", "utf-16", "utf-32"]), st.data())
    def test_there_and_back(self, text: str, encoding: str, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(text)))
        positions = Positions(text, encoding)
        back = positions.offset(positions.of(offset))
        assert back == offset or text[back:offset] in ("\r", "\n"), "the end of a line is before its break"
        line, column = point_of(Source("x", text), offset)
        assert Source("x", text).line_starts[line - 1] + column - 1 == offset

    def test_the_protocol_breaks_fewer_lines_than_yaml(self) -> None:
        source = Source("net.yaml", "a: \u2028b: 1\nc: 2\n")
        assert range_of(Span(source, 3, 1, 3, 2)).start == (1, 0)

    def test_beyond_the_end_is_the_end(self) -> None:
        positions = Positions("ab\ncd")
        assert positions.offset(positions.of(0)._replace(character=99)) == 2
        assert positions.offset(positions.of(0)._replace(line=99)) == 5


@given(st.sampled_from(bundled.names()), st.data())
def test_no_place_of_a_spec_is_too_much(name: str, data: st.DataObject) -> None:
    """Nothing raises, wherever the pointer is, and what is shown is text."""
    found = _analysed(name)
    offset = data.draw(st.integers(0, len(found.source.text)))
    result = hover(found, offset)
    assert result is None or json.dumps(result.markdown)


_ANALYSES: dict[str, Analysis] = {}


def _analysed(name: str) -> Analysis:
    return _ANALYSES.setdefault(name, Analysis(read_spec(name)))

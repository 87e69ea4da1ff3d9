"""YAML text to a tree: YAML 1.2's scalars, every place, every limit, and a diagnostic for everything else."""

from __future__ import annotations

import io
import math
import string
import sys

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import cnnspec
from cnnspec.diagnostics import Diagnostic, Source, Span, SpecError, format_diagnostic
from cnnspec.language import files
from cnnspec.language import yaml_tree as source
from cnnspec.language.yaml_tree import YamlNode, parse

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request, monkeypatch):
    """Both of PyYAML's loaders; whoever has no libyaml gets the second."""
    monkeypatch.setattr(source, "_LOADER", request.param)


def tree(text: str) -> YamlNode:
    node, faults = parse(Source("spec.yaml", text))
    assert faults == []
    assert node is not None
    return node


def faults(text: str) -> list[Diagnostic]:
    return parse(Source("spec.yaml", text))[1]


def fault(text: str) -> Diagnostic:
    (found,) = faults(text)
    return found


def cut(node: YamlNode) -> str:
    """The text that a span of one line covers."""
    span = node.span
    return span.source.lines[span.line - 1][span.column - 1 : span.end_column - 1]


# Scalars


@pytest.mark.parametrize(
    ("text", "value"),
    {
        "no": "no", "No": "No", "NO": "NO", "yes": "yes", "on": "on", "off": "off", "y": "y", "n": "n",
        "true": True, "True": True, "TRUE": True, "false": False, "tRUE": "tRUE",
        "~": None, "null": None, "Null": None, "NULL": None, "nUll": "nUll", "None": "None",
        "12": 12, "-12": -12, "+12": 12, "0": 0, "012": 12, "00": 0, "1_000": "1_000", "0b11": "0b11",
        "0o17": 15, "0x1F": 31, "-0x1F": "-0x1F", "0o18": "0o18", "0xG": "0xG",
        "1.5": 1.5, ".5": 0.5, "5.": 5.0, "1e-3": 0.001, "1E3": 1000.0, "+1.5e+2": 150.0, "-.5": -0.5, "1e3": 1000.0,
        ".": ".", "e3": "e3", "1e": "1e", "1.2.3": "1.2.3", "-": "-x"[:1], "+": "+", "--1": "--1",
        ".inf": math.inf, "-.inf": -math.inf, "+.Inf": math.inf, "inf": "inf", ".iNF": ".iNF",
        "1:30": "1:30", "12:30:45": "12:30:45", "2001-01-01": "2001-01-01", "1,000": "1,000", "１２": "１２",
        "'12'": "12", '"12"': "12", "'null'": "null", '"\\u00e9"': "é", "''": "", "": None, "=": "=", "a b": "a b",
    }.items(),
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(loader, text, value):
    found = tree(f"key: {text}\n" if text != "-" else "key: '-'\n").get("key").value
    assert found == value
    assert type(found) is type(value)


def test_nan(loader):
    assert math.isnan(tree("key: .nan\n").get("key").value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("key: |\n  one\n  two\n", "one\ntwo\n"),
        ("key: >-\n  one\n  two\n", "one two"),
        ("key: |\n  12\n", "12\n"),
        ("key: one\n  two\n", "one two"),
        ('key: "one\n  two"\n', "one two"),
        ("key:\n", None),
        ("key: ! 12\n", "12"),
    ],
)
def test_text_over_several_lines(loader, text, value):
    assert tree(text).get("key").value == value


# Places


def test_keys_and_values_know_their_places(loader):
    root = tree("first: [10, {a: 'x'}]\n\nsecond:\n  - deep: 3   # note\n")
    assert root.keys["first"][1:] == (1, 1, 1, 6)
    assert root.get("first").span[1:] == (1, 8, 1, 22)
    assert cut(root.get("first")) == "[10, {a: 'x'}]"
    assert cut(root.get("first").elements()[1].get("a")) == "'x'"
    assert root.keys["second"][1:] == (3, 1, 3, 7)
    deep = root.get("second").elements()[0]
    assert deep.keys["deep"][1:] == (4, 5, 4, 9)
    assert cut(deep.get("deep")) == "3"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_endings_and_wide_characters_move_nothing(loader, end):
    root = tree("'键': 卷积\n列表: [一, 二, 3]\n".replace("\n", end))
    assert cut(root.get("键")) == "卷积"
    assert [cut(item) for item in root.get("列表").elements()] == ["一", "二", "3"]
    assert root.keys["列表"][1:] == (2, 1, 2, 3)


def test_a_block_ends_where_its_text_ends(loader):
    root = tree("a:\n  - x\n  - y\n\n# note\nb: 1\n")
    span = root.get("a").span
    assert (span.line, span.end_line, span.end_column) == (2, 3, 6)
    assert tree("a:\n  b:\n    - x\n  c: 1\n").get("a").get("b").span.end_line == 3
    assert tree("a:\n  b: |\n    text\n    # text\n").get("a").span.end_line == 4


@pytest.mark.parametrize("text", ["a:", "a: ", "---", "- ", "a:\n  -", "a: 1\n---", "a: |", "a: ["])
def test_the_end_of_a_text_without_a_line_break_lies_within_it(loader, text):
    answer(text)


def test_a_path_leads_as_far_as_it_leads():
    root = tree("a: {b: [1, 2]}\n")
    assert root.at(("a", "b", 1)) == root.get("a").get("b").elements()[1].span
    assert root.at(("a", "b", 7)) == root.get("a").get("b").span
    assert root.at(("a", "x")) == root.get("a").span
    assert root.key_at(("a", "b")) == root.get("a").keys["b"]
    assert root.key_at(("a", "b", 0)) == root.get("a").get("b").elements()[0].span
    assert root.key_at(("x", "y")) == root.span


WORDS = st.text(string.ascii_letters + " -_éß卷积:#'\"", max_size=12)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(-1e6, 1e6, allow_nan=False), WORDS
)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=20
)


@given(data=st.dictionaries(WORDS, DATA, max_size=5), flow=st.sampled_from([True, False, None]))
def test_what_pyyaml_writes_is_what_is_read(data, flow):
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True, width=10**6)
    node = tree(text)
    assert node.plain() == data
    assert_places(node)


def assert_places(node: YamlNode) -> None:
    """Every scalar's span cuts out its own text, and every key's span its own."""
    for key, span in node.keys.items():
        assert list(tree(f"{cut(YamlNode(None, span))}: 1\n").keys) == [key]
    for child in (*node.elements(), *(child for _, child in node.items())):
        if child.is_list or child.is_mapping:
            assert_places(child)
        elif child.span.line == child.span.end_line:
            assert tree(f"key: {cut(child)}\n").get("key").value == child.value


# What is refused


def test_a_duplicate_key_shows_both_places(loader):
    found = fault("a: 1\nb: 2\na: 3\n")
    assert found.code == "duplicate-key"
    assert found.label.span[1:] == (3, 1, 3, 2)
    assert [label.span[1:] for label in found.others] == [(1, 1, 1, 2)]


def test_the_first_of_two_keys_is_kept(loader):
    node, _ = parse(Source("x", "a: 1\na: 2\n"))
    assert node.plain() == {"a": 1}


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: b: c\n", "yaml-syntax", 1, 5),
        ("a: [1, 2\nb: 3\n", "yaml-syntax", 2, 2),
        ("a:\n  - {x: 1\n", "yaml-syntax", 2, 5),
        ("a: 'text\nb: 1\n", "yaml-syntax", 1, 4),
        ("a:\n  b: 1\n c: 2\n", "yaml-syntax", 3, 2),
        ("a: 1\nb\nc: 2\n", "yaml-syntax", 2, 1),
        ("a:\n\t- x\n", "yaml-syntax", 2, 1),
        ("a: @x\n", "yaml-syntax", 1, 4),
        ("a: *x\n", "yaml-syntax", 1, 4),
        ("a: ]\n", "yaml-syntax", 1, 4),
        ("a: {b: 1 c: 2}\n", "yaml-syntax", 1, 11),
        ("a: - b\n", "yaml-syntax", 1, 4),
        ("a: 1\nb: \x07\n", "yaml-syntax", 2, 4),
        ("a: \ud800\n", "yaml-syntax", 1, 4),
        ("a: 1\n---\nb: 2\n", "unsupported-yaml", 2, 1),
        ("a: !!int 3\n", "unsupported-yaml", 1, 4),
        ("a: !local {b: 1}\n", "unsupported-yaml", 1, 4),
        ("a: !!python/object/apply:os.system [x]\n", "unsupported-yaml", 1, 4),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "unsupported-yaml", 2, 5),
        ("1: a\n", "wrong-type", 1, 1),
        ("true: a\n", "wrong-type", 1, 1),
        ("? [a]\n: b\n", "wrong-type", 1, 3),
    ],
)
def test_a_fault_is_at_its_place(loader, text, code, line, column):
    found = fault(text)
    assert (found.code, found.label.span.line, found.label.span.column) == (code, line, column)
    assert format_diagnostic(found)


def test_no_tag_constructs_anything(loader, tmp_path):
    file = tmp_path / "made"
    parse(Source("x", f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{file}']]\n"))
    assert not file.exists()


def test_a_tagged_value_is_read_as_if_it_had_no_tag(loader):
    node, _ = parse(Source("x", "a: !!str 3\nb: !!float '4'\n"))
    assert node.plain() == {"a": 3, "b": "4"}


def test_the_keys_that_a_merge_would_bring_are_not_said_to_be_missing(loader):
    node, _ = parse(Source("x", "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n"))
    assert node.get("d").plain() == {"b": 1, "c": 3}
    assert set(node.get("d").keys) == {"b", "c"}


@pytest.mark.parametrize("text", ["", "\n\n", "# note\n", "---\n", "\ufeff"])
def test_nothing_is_nothing(loader, text):
    node, found = parse(Source("x", text))
    assert found == []
    assert node is None or node.value is None


# Limits


def test_nesting(loader):
    depth = source.MAX_DEPTH
    assert faults("[" * depth + "]" * depth) == []
    assert fault("[" * (depth + 1) + "]" * (depth + 1)).code == "nesting-too-deep"
    assert fault("[" * 100_000).code == "nesting-too-deep"


def test_aliases_nest_no_deeper_than_text_does(loader):
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [[[*a{i - 1}]]]" for i in range(1, 100)]
    found = fault("\n".join(lines) + "\n")
    assert found.code == "nesting-too-deep"
    assert found.label.span.line < source.MAX_DEPTH // 3 + 2


def test_a_plain_value_becomes_a_tree_at_one_place():
    span = Span(Source("x", "x"), 1, 1, 1, 2)
    plain = {"a": [1, 2.5, None, {"b": True}], "c": {}, "d": "text"}
    node = YamlNode.of(plain, span)
    assert node.plain() == plain
    assert {node.span, node.at(("a", 3, "b")), node.key_at(("a",)), *node.keys.values()} == {span}
    for wrong in ({"a": {1: 2}}, [object()]):
        with pytest.raises(TypeError, match=r"a key is text|of the type object"):
            YamlNode.of(wrong, span)


def test_an_alias_shares_its_node(loader):
    root = tree("a: &x [1, 2]\nb: *x\n")
    assert root.get("b") is root.get("a")


def test_a_billion_laughs_are_refused_before_they_are_made(loader, monkeypatch):
    made = []
    monkeypatch.setattr(source, "YamlNode", lambda *args: made.append(args) or YamlNode(*args))
    laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
    laughs += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
    found = fault(laughs)
    assert found.code == "alias-expansion"
    assert len(made) < 200


def test_an_alias_inside_of_itself_is_refused(loader):
    found = fault("a: &a [1, *a]\n")
    assert found.code == "alias-expansion"
    assert found.label.span[1:] == (1, 11, 1, 13)


def test_numbers_of_too_many_digits(loader):
    assert tree("a: " + "9" * source.MAX_DIGITS).get("a").value == int("9" * source.MAX_DIGITS)
    assert fault("a: " + "9" * 5000).code == "number-too-long"
    assert fault("a: 0x" + "f" * 5000).code == "number-too-long"
    assert tree("a: '" + "9" * 5000 + "'").get("a").value == "9" * 5000


# Files


def refused(path) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        files.read_file(path)
    (found,) = caught.value.diagnostics
    (checked,) = cnnspec.check(path).diagnostics
    assert (checked.code, checked.message) == (found.code, found.message)
    assert found.message in format_diagnostic(found)
    return found


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ("a: é\n".encode("latin-1"), "not-text", "the byte 0xe9 in line 1"),
        (b"a: 1\nb: \xff\n", "not-text", "the byte 0xff in line 2"),
        ("a: 1\n".encode("utf-16"), "not-text", "UTF-16"),
        ("a: 1\n".encode("utf-16-be"), "not-text", "binary"),
        (b"a: \0\n", "not-text", "binary"),
        (bytes(range(256)), "not-text", "0x80"),
        (b"# " + b"x" * files.MAX_BYTES, "file-too-large", "8 MiB"),
    ],
    ids=["latin-1", "stray byte", "UTF-16", "UTF-16 without a mark", "NUL", "every byte", "large"],
)
def test_files_that_are_no_specs(tmp_path, data, code, says):
    path = tmp_path / "spec.yaml"
    path.write_bytes(data)
    found = refused(path)
    assert found.code == code
    assert says in found.message


def test_files_that_cannot_be_read(tmp_path):
    assert "there is no such file" in refused(tmp_path / "absent.yaml").message
    assert "it is a directory" in refused(tmp_path).message
    for name in ("x" * 5000, "nul\0", "absent/spec.yaml", ""):
        assert refused(name).code == "unreadable-file"


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes("\ufeffa: 1\n".encode())
    assert files.read_file(path).text == "a: 1\n"


def test_standard_input(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b"a: 1\n")

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert files.read_file("-") == Source("<stdin>", "a: 1\n")


# Whatever the text, an answer


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")
@example(b"%YAML 1.2\n%YAML 1.2\n---\n")
@example(b"%TAG ! tag:x,2000:\n--- !a b")
def test_any_bytes_give_a_tree_or_diagnostics(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    try:
        text = files.read_file(path).text
    except SpecError as error:
        text = "".join(map(format_diagnostic, error.diagnostics))
        refused(path)
    answer(text)


PIECES = st.lists(
    st.sampled_from(
        [*"[]{}:,-?&*!|>'\"%@` \n\t#a1~\\\r\x85\u2028\ufeff卷", ": ", "- ", "\n  ", "<<", "---\n", "...\n", "&a ", "*a"]
    )
)


@given(PIECES.map("".join))
@example("? *a\n: &a b")
@example("\x85a: [")
@example("a: |9\n x")
@example("\ufeff\ufeff- a: b: c")
@example("---")
@example("&{")
def test_any_text_gives_a_tree_or_diagnostics(text):
    answer(text)


def answer(text: str) -> None:
    """Both loaders answer, with places that lie within the text."""
    where = Source("x", text)
    for loader in LOADERS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "_LOADER", loader)
            node, found = parse(where)
        assert found or node is None or node.plain() is not found
        for span in [d.label.span for d in found] + ([node.span] if node else []):
            assert 1 <= span.line <= len(where.lines)
            assert 1 <= span.column <= len(where.lines[span.line - 1]) + 1
            assert span.line <= span.end_line <= len(where.lines)
        for diagnostic in found:
            assert format_diagnostic(diagnostic)

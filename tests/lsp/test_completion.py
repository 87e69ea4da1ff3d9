"""What is proposed at the cursor, in texts that are being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec import bundled
from cnnspec.diagnostics import Source, Span
from cnnspec.language.files import read_spec
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.completion import Completion, completions
from cnnspec.lsp.context import ITEM, Context, context

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
  - add:
      main:
        - conv: {channels: 8, kernel: 3, padding: same}
      skip: []
"""
KNOWN = Analysis(Source("net.yaml", SPEC))


def at(tail: str) -> tuple[Source, int]:
    """The spec with a tail in which `|` is the cursor."""
    text = SPEC + tail
    offset = text.index("|")
    return Source("net.yaml", text[:offset] + text[offset + 1 :]), offset


def proposed(tail: str) -> list[Completion]:
    source, offset = at(tail)
    return completions(source, KNOWN, offset)


def labels(tail: str) -> list[str]:
    return [found.label for found in proposed(tail)]


@pytest.mark.parametrize(
    ("tail", "some", "none"),
    [
        ("  - |", ["conv", "relu", "add", "repeat", "from", "down"], ["channels", "layers"]),
        ("  - re|", ["relu", "reshape", "reduce"], []),
        ("  - conv: {|", ["channels", "kernel", "norm", "activation", "name", "share"], ["relu"]),
        ("  - conv: {channels: 3, |", ["kernel", "padding_mode"], ["channels"]),
        ("  - conv: {|, kernel: 3}\n", ["channels"], ["kernel"]),
        ("  - max_pool:\n      kernel: 2\n      |", ["stride", "rounding"], ["kernel", "channels"]),
        ("  - max_pool:\n      |\n      stride: 2\n", ["kernel"], ["stride"]),
        ("  - conv: {channels: 3,\n           |", ["kernel"], ["channels"]),
        ("  - conv: {padding: |", ["same", "valid", "same_upper"], ["channels"]),
        ("  - conv: {norm: |", ["none", "batch_norm"], ["relu"]),
        ("  - conv: {norm: {batch_norm: {|", ["eps", "momentum"], ["share"]),
        ("  - conv: {activation: {|", ["leaky_relu"], ["batch_norm"]),
        ("  - conv: {flip: |", ["true", "false"], []),
        ("  - add: {a: [|", ["conv", "from"], []),
        ("  - add:\n      a:\n        - |", ["conv", "down"], []),
        ("  - repeat: {|", ["times", "each", "layers"], []),
        ("  - repeat: {times: 2, layers: [|", ["relu"], ["times"]),
        ("  - down: {|", ["c", "s", "name"], ["channels"]),
        ("  - dense: $|", ["width", "unit", "in", "in_height"], ["c"]),
        ("  - dense: $(2 * w|", ["width"], []),
        ("  - repeat: {each: {k: [1, 3]}, layers: [conv: {channels: 3, kernel: $|", ["k", "width"], ["c"]),
        ("  - add: {a: [from: |", ["mid", "mid.body", "input", "add1", "conv1"], ["relu"]),
        ("  - crop: {like: |", ["mid", "add1"], []),
        ("  - conv: {share: |", ["mid.body", "conv1"], ["mid", "add1"]),
        ("outputs: [|", ["add1", "mid"], []),
        ("init: |", ["he_normal"], []),
        ("extends: |", ["resnet", "lenet"], []),
        ("|", ["train", "classes", "outputs", "examples"], ["layers", "input", "conv"]),
        ("train: {|", ["optimizer", "loss", "epochs"], ["layers"]),
        ("train:\n  optimizer: |", ["sgd", "adam"], []),
        ("train:\n  optimizer: {adam: {|", ["learning_rate", "beta1"], ["momentum"]),
        ("train: {augment: [|", ["flip", "rotate"], ["relu"]),
        ("train: {freeze: [|", ["mid", "conv1"], []),
        ("examples:\n  - |", ["input", "output"], []),
        ("  - relu  # |", [], ["conv"]),
        ("  - dense: {name: |", [], ["conv", "mid"]),
    ],
)  # fmt: skip
def test_proposals(tail: str, some: list[str], none: list[str]) -> None:
    found = labels(tail)
    assert set(some) <= set(found), found
    assert not set(none) & set(found)


def test_in_a_block() -> None:
    start = SPEC.index("$c,") + 1
    found = [c.label for c in completions(Source("net.yaml", SPEC[:start]), KNOWN, start)]
    assert found[:2] == ["c", "s"], "those of the block come first"
    assert "width" in found


def test_what_a_layer_needs_comes_with_it() -> None:
    by_label = {found.label: found for found in proposed("  - |")}
    assert by_label["conv"].snippet == "conv: {channels: ${1}, kernel: ${2}}"
    assert by_label["dense"].snippet == "dense: ${1}"
    assert by_label["down"].snippet == "down: {c: ${1}}"
    assert (by_label["relu"].text, by_label["relu"].snippet) == ("relu", "")
    assert "Cross-correlation" in by_label["conv"].about


def test_required_fields_come_first_and_defaults_are_shown() -> None:
    first, second, *others = proposed("  - conv: {|")
    assert [(c.label, c.detail) for c in (first, second)] == [("channels", "required"), ("kernel", "required")]
    assert next(c for c in others if c.label == "stride").detail == "default 1"
    assert first.about == "Output channels."


def test_what_is_replaced_is_the_word_before_the_cursor() -> None:
    for tail, word in (
        ("  - conv: {chan|", "chan"),
        ("  - dense: $wi|", "wi"),
        ("  - add: {a: [from: mid.b|", "mid.b"),
    ):
        source, offset = at(tail)
        (start,) = {found.start for found in completions(source, KNOWN, offset)}
        assert source.text[start:offset] == word


def test_files_beside_a_spec_can_be_extended(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SPEC)
    text = "extends: "
    found = completions(Source(str(tmp_path / "net.yaml"), text), None, len(text))
    assert found[0].label == "base.yaml"


def test_a_first_text_that_cannot_be_read_has_proposals() -> None:
    text = "input: [3, 8, 8]\nlayers:\n  - conv: {"
    found = completions(Source("net.yaml", text), Analysis(Source("net.yaml", text)), len(text))
    assert found[0].label == "channels"


NAMED = ("params", "blocks", "each", "inputs", "outputs", "losses", "targets", "rates", "classes")
"""The keys of mappings whose own keys are names of the author's."""


def written(node: YamlNode, path: tuple[str | None, ...] = ()) -> Iterator[tuple[str, Span]]:
    """The keys of a spec that are words of the language, and the kinds that stand alone."""
    parent = next((step for step in reversed(path) if step is not ITEM), None)
    cls = find(parent or "") if path and path[-1] is not ITEM else None
    merges = cls is not None and cls.arity is None
    for key, item in node.items():
        if parent not in NAMED and not (merges and item.is_list) and "$" not in f"{parent}{key}":
            yield key, node.keys[key]
        yield from written(item, (*path, key))
    for item in node.elements():
        if isinstance(item.value, str) and parent in ("layers", "main") and "$" not in item.value:
            yield item.value, item.span
        yield from written(item, (*path, ITEM))


@pytest.mark.parametrize(
    "name", ["lenet", "resnet", "unet", "densenet121", "siamese", "efficientnet_b0", "googlenet_2014"]
)
def test_whatever_a_spec_says_is_proposed_where_it_says_it(name: str) -> None:
    """The text ends where a word begins: brackets are open, and the rest is missing."""
    known = Analysis(read_spec(name))
    assert known.root is not None
    source = known.source
    missing = []
    for word, span in written(known.root):
        start = span.range[0]
        found = completions(Source(source.name, source.text[:start]), known, start)
        if word not in [c.label for c in found]:
            missing.append(f"{word} in line {span.line}")
    assert missing == []


@pytest.mark.parametrize(
    ("text", "path", "role", "word"),
    [
        ("layers:\n- relu\n- con", ("layers", ITEM), "item", "con"),
        ("layers:\n  - - con", ("layers", ITEM, ITEM), "item", "con"),
        ("a:\n  b:\n    c: 1\n  d", ("a",), "key", "d"),
        ("a:\n  - b:\n      c: 1\n    d", ("a", ITEM), "key", "d"),
        ("a: {b: {c: 1}, d", ("a",), "key", "d"),
        ("a: {b: [1, {c: x", ("a", "b", ITEM, "c"), "value", "x"),
        ("a: {b: \"}\", c: 'x', d: y", ("a", "d"), "value", "y"),
        ("a: {b: 1  # {\n    , c", ("a",), "key", "c"),
        ("a: [\nb: x", ("b",), "value", "x"),
        ("a: {b: 1\nlayers:\n  - x", ("layers", ITEM), "item", "x"),
        ('"a": x', ("a",), "value", "x"),
        ("a: $(b + ", ("a",), "value", ""),
        ("", (), "key", ""),
    ],
)
def test_the_place_of_the_cursor(text: str, path: tuple[str | None, ...], role: str, word: str) -> None:
    found = context(text, len(text))
    assert found is not None
    assert (found.path, found.role, found.word) == (path, role, word)


WHOLE = {name: read_spec(name).text for name in bundled.names()}


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_no_text_is_too_broken(name: str, data: st.DataObject) -> None:
    text = WHOLE[name]
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    broken = text[:start] + data.draw(st.text("{}[]:,-'\"#$ \n\tab(1", max_size=9)) + text[end:]
    offset = data.draw(st.integers(0, len(broken)))
    found = context(broken, offset)
    assert found is None or isinstance(found, Context)
    for proposal in completions(Source("net.yaml", broken), KNOWN, offset):
        assert 0 <= proposal.start <= offset

"""Edits of a spec's text keep everything else to the byte, and only fixes that help are shown."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.diagnostics import Diagnostic, Edit, Fix, Label, Source, Span
from cnnspec.language.edits import apply, with_field, without_key
from cnnspec.language.entry import Entry
from cnnspec.language.fixes import with_tried_fixes
from cnnspec.language.scope import Scope
from cnnspec.language.yaml_tree import parse


def only_layer(text: str) -> tuple[Source, Entry]:
    source = Source("s.yaml", text)
    root, errors = parse(source)
    assert root is not None
    assert not errors
    (item,) = root.get("layers").elements()
    if isinstance(item.value, str):
        return source, Entry(item.value, item.span, None, Scope(None))
    ((kind, span),) = item.keys.items()
    return source, Entry(kind, span, item.get(kind), Scope(None))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("layers: [max_pool]", "layers: [max_pool: {padding: same}]"),
        ("layers:\n  - max_pool # c\n", "layers:\n  - max_pool: {padding: same} # c\n"),
        ("layers: [max_pool: 2]", "layers: [max_pool: {kernel: 2, padding: same}]"),
        ("layers: [max_pool: {}]", "layers: [max_pool: {padding: same}]"),
        ("layers: [max_pool: {kernel: 2 }]", "layers: [max_pool: {kernel: 2, padding: same }]"),
        ("layers: [max_pool: {padding: 3, kernel: 2}]", "layers: [max_pool: {padding: same, kernel: 2}]"),
        ("layers:\n- max_pool:\n    kernel: 2  # é\n\n# end\n",
         "layers:\n- max_pool:\n    kernel: 2  # é\n    padding: same\n\n# end\n"),
        ("layers:\r\n- max_pool:\r\n    padding:\r\n      top: 1\r\n      bottom: 0\r\n",
         "layers:\r\n- max_pool:\r\n    padding:\r\n      same\r\n"),
    ],
)  # fmt: skip
def test_a_field_is_set_where_it_belongs(before: str, after: str) -> None:
    source, entry = only_layer(before)
    edit = with_field(entry, "kernel", "padding", "same")
    assert edit is not None
    assert apply(source, [edit]).text == after


def test_the_fields_of_a_reference_cannot_be_edited() -> None:
    source = Source("s.yaml", "params: {c: {kernel: 2}}\ninput: [1, 8, 8]\nlayers: [max_pool: $c]\n")
    root, _ = parse(source)
    assert root is not None
    entry = Entry("max_pool", Span(source, 3, 10, 3, 18), None, Scope(None))
    node = root.get("params").get("c")
    held = type(node).of({"kernel": 2}, entry.span)
    assert with_field(entry._replace(config=held), "kernel", "padding", "same") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("layers: [conv: {a: 1, b: 2, c: 3}]", "layers: [conv: {a: 1, c: 3}]"),
        ("layers: [conv: {a: 1, b: 2}]", "layers: [conv: {a: 1}]"),
        ("layers: [conv: {b: 2}]", "layers: [conv: {}]"),
        ("layers:\n- conv:\n    a: 1\n    b:\n      - 2\n    c: 3\n", "layers:\n- conv:\n    a: 1\n    c: 3\n"),
        ("layers:\n- conv:\n    a: 1\n    b: 2", "layers:\n- conv:\n    a: 1"),
    ],
)  # fmt: skip
def test_a_key_is_taken_out(before: str, after: str) -> None:
    source, entry = only_layer(before)
    assert entry.config is not None
    edit = without_key(entry.config, "b")
    assert edit is not None
    assert apply(source, [edit]).text == after


def test_only_fixes_that_help_are_kept() -> None:
    text = "input: [1, 8, 8]\nlayers: [reluu, dense: 10, tanhh]\n"
    source = Source("s.yaml", text)
    first, second = cnnspec.check(source, fixes=False).diagnostics

    def fix(diagnostic: Diagnostic, word: str, *, certain: bool = False) -> Fix:
        return Fix(
            f"write `{word}`", (Edit(diagnostic.label.span, word),), certain, cause=Label(diagnostic.label.span, "here")
        )

    def recheck(edited: dict[str, Source]) -> list[Diagnostic]:
        return list(cnnspec.check(edited["s.yaml"], fixes=False).diagnostics)

    found = Diagnostic(first.code, first.message, first.label, fixes=(fix(first, "rellu"), fix(first, "sigmoid")))
    other = Diagnostic(second.code, second.message, second.label, fixes=(fix(second, "tanh", certain=True),))
    kept = with_tried_fixes([found, other], 3, recheck)
    assert [[f.title for f in d.fixes] for d in kept] == [[], ["write `tanh`"]]
    assert kept[1].others[0].text == "here"

"""Sessions of an editor with the language server, over standard input and output."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from editor import Editor, Refused, edited, lines_of

import cnnspec
from cnnspec.diagnostics import Source

pytest.importorskip("pygls", reason="the extra `lsp` is not installed")

SPEC = """\
params: {width: 8}
input: [1, 28, 28]
blocks:
  unit:
    params: {c: int}
    layers:
      - conv: {channels: $c, kernel: 3, padding: same, name: body}
      - relu
layers:
  - unit: {c: $width, name: first}
  - max_pool: 2
  - unit: {c: $(width * 2), name: second}
  - concat: {up: [], skip: [from: first.body, max_pool: 2]}
  - flatten
  - dense: 10
"""
NET = "net.yaml"


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    found = Editor(tmp_path)
    yield found
    found.close()


def place(text: str, what: str, shift: int = 0) -> tuple[int, int]:
    """The line and the character of the first occurrence of a text."""
    before = text[: text.index(what)]
    line = before.count("\n")
    return line, len((before.rpartition("\n")[2]).encode("utf-16-le")) // 2 + shift


def test_a_session(editor: Editor) -> None:
    editor.open(NET, SPEC)
    assert editor.diagnostics(NET) == []

    hover = editor.at("hover", NET, *place(SPEC, "max_pool"))["contents"]["value"]
    assert "8×28×28 → 8×14×14" in hover
    assert "⌊(28 − 2 + 0 + 2) / 2⌋ = 14" in hover

    hints = editor.of("inlayHint", NET, range=lines_of(0, 20))
    shown = {hint["position"]["line"]: hint["label"] for hint in hints}
    assert shown[place(SPEC, "  - max_pool")[0]] == "→ 8×14×14"
    assert shown[place(SPEC, "  - conv")[0]] == "→ 8×28×28, 16×14×14"
    assert shown[place(SPEC, "  - dense")[0]] == "→ 10"
    assert "workspace/inlayHint/refresh" in editor.requests

    broken = SPEC.replace("  - dense: 10\n", "  - dense: 10\n  - conv: {chan\n")
    editor.edit(NET, broken)
    (fault,) = editor.diagnostics(NET)
    assert (fault["code"], fault["severity"]) == ("yaml-syntax", 1)
    proposed = editor.at("completion", NET, *place(broken, "{chan\n", 5))
    assert [item["label"] for item in proposed["items"]][:2] == ["channels", "kernel"]
    proposed = editor.at("completion", NET, *place(broken, "second", 0))["items"]
    assert proposed == [], "a name is free text"

    editor.edit(NET, SPEC)
    assert editor.diagnostics(NET) == []
    change = editor.at("rename", NET, *place(SPEC, "body"), newName="inner")
    renamed = edited(SPEC, change["changes"][editor.uri(NET)])
    assert renamed == SPEC.replace("body", "inner")
    with pytest.raises(Refused, match="are called `second"):
        editor.at("rename", NET, *place(SPEC, "name: first", 6), newName="second")

    target = editor.at("definition", NET, *place(SPEC, "first.body", 7))
    assert target["range"]["start"] == dict(zip(("line", "character"), place(SPEC, "body"), strict=True))
    outline = editor.of("documentSymbol", NET)
    assert [entry["name"] for entry in outline] == ["params", "input", "blocks", "layers"]
    assert [entry["name"] for entry in outline[3]["children"]][:3] == ["first", "max_pool1", "second"]
    assert len(editor.at("references", NET, *place(SPEC, "width"), context={"includeDeclaration": True})) == 3

    assert editor.logged == []
    assert editor.leave() == 0


def test_a_code_action_makes_the_fault_go_away(editor: Editor) -> None:
    wrong = SPEC.replace("flatten", "Flatten").replace("max_pool: 2\n", "MaxPool2d: 2\n")
    editor.open(NET, wrong)
    faults = editor.diagnostics(NET)
    assert [fault["code"] for fault in faults] == ["unknown-kind"] * 2
    for fault, written in zip(faults, ("max_pool", "flatten"), strict=True):
        found = editor.of("codeAction", NET, range=fault["range"], context={"diagnostics": [fault]})
        (action,) = (action for action in found if action["kind"] == "quickfix")
        assert action["isPreferred"]
        assert action["diagnostics"][0]["range"] == fault["range"]
        mended = edited(wrong, action["edit"]["changes"][editor.uri(NET)])
        assert len(cnnspec.check(Source(NET, mended)).diagnostics) == 1
        assert written in action["title"]
    context = {"diagnostics": [], "only": ["source.fixAll"]}
    (everything,) = editor.of("codeAction", NET, range=lines_of(0, 1), context=context)
    assert edited(wrong, everything["edit"]["changes"][editor.uri(NET)]) == SPEC


def test_a_diagnostic_has_its_places_and_its_page(editor: Editor) -> None:
    editor.open(NET, SPEC.replace("skip: [from: first.body, max_pool: 2]", "skip: [from: first.body]"))
    (fault,) = editor.diagnostics(NET)
    assert fault["code"] == "shapes-differ"
    assert fault["source"] == "cnnspec"
    assert fault["codeDescription"]["href"].endswith("codes.md#shapes-differ")
    assert fault["relatedInformation"]
    assert all(related["location"]["uri"] == editor.uri(NET) for related in fault["relatedInformation"])
    assert "joins 16×14×14 with 8×28×28" in fault["message"]


def test_the_text_of_the_editor_counts_not_that_of_the_file(editor: Editor, tmp_path: Path) -> None:
    """Of a spec that another extends, too."""
    base, derived = SPEC, "cnnspec: 1\nextends: base.yaml\nparams: {width: 4}\n"
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "derived.yaml").write_text(derived)
    editor.open("derived.yaml", derived)
    assert editor.diagnostics("derived.yaml") == []
    editor.open("base.yaml", base)
    editor.edit("base.yaml", base.replace("width: 8", "depth: 8"))
    found = editor.diagnostics("derived.yaml", bool)
    assert [fault["code"] for fault in found] == ["unknown-param"] * len(found)
    editor.edit("base.yaml", base)
    assert editor.diagnostics("derived.yaml", lambda found: not found) == []
    target = editor.at("definition", "derived.yaml", 1, 12)
    assert target["uri"] == editor.uri("base.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-32"])
def test_characters_are_counted_as_agreed(tmp_path: Path, encoding: str) -> None:
    editor = Editor(tmp_path, encodings=[encoding])
    assert editor.abilities["positionEncoding"] == encoding
    text = 'classes: ["🎒é", b]\ninput: [2]\nlayers: [relu: {name: "x"}, dense: 3]  # 🎒\n'
    editor.open(NET, text.replace("🎒é", "🎒é", 1))
    units = {"utf-16": 2, "utf-8": 1, "utf-32": 4}[encoding]
    (fault,) = editor.diagnostics(NET)
    assert fault["range"]["start"]["character"] == 0
    proposal = editor.at("hover", NET, 2, 9)
    assert proposal["range"]["start"]["character"] == 9
    moved = 'input: [2]\nlayers: [{relu: {name: "🎒"}}, dense: 3]\n'
    editor.edit(NET, moved)
    (fault,) = editor.diagnostics(NET, lambda found: found[0]["code"] == "invalid-name")
    start, end = (fault["range"][side]["character"] for side in ("start", "end"))
    assert end - start == 2 + len("🎒".encode(encoding.replace("-", "") if units == 1 else f"{encoding}-le")) // units
    dense = len(moved.splitlines()[1].split("dense")[0].encode("utf-8" if units == 1 else f"{encoding}-le")) // units
    assert editor.at("hover", NET, 1, dense)["range"]["start"]["character"] == dense
    assert editor.leave() == 0
    editor.close()


def test_a_fault_of_the_server_does_not_end_the_session(editor: Editor) -> None:
    editor.open(NET, SPEC)
    editor.diagnostics(NET)
    with pytest.raises(Refused):
        editor.ask("textDocument/unheardOf", textDocument={"uri": editor.uri(NET)})
    assert editor.at("hover", "nowhere.yaml", 0, 0) is None
    for text in ("", "\0", "[", "- - -\n", "layers: &a [*a]", "\ud7ff{", "a: b: c", SPEC[:100]):
        editor.edit(NET, text)
        for line in range(3):
            editor.at("completion", NET, line, 3)
            editor.at("hover", NET, line, 3)
            editor.of("inlayHint", NET, range=lines_of(0, 9))
            editor.of("documentSymbol", NET)
    editor.edit(NET, SPEC)
    editor.diagnostics(NET, lambda found: not found)
    assert editor.logged == []
    assert editor.leave() == 0


def test_it_answers_while_a_large_spec_is_checked(editor: Editor) -> None:
    large = "input: [4]\nlayers:\n" + "  - dense: 4\n  - relu\n" * 5_000
    editor.open("large.yaml", large)
    editor.open(NET, SPEC)
    for n in range(5):
        editor.edit("large.yaml", large + f"  - dense: {n + 1}\n")
    proposed = editor.at("completion", NET, *place(SPEC, "- flatten", 2))
    assert "flatten" in [item["label"] for item in proposed["items"]]
    assert editor.diagnostics("large.yaml") == []
    last = editor.of("inlayHint", "large.yaml", range=lines_of(10_001, 10_003))
    assert [hint["label"] for hint in last] == ["→ 4", "→ 5"]


@pytest.mark.parametrize(
    "text", ["", "services: {web: {image: x}}\n", "extends: eslint:all\nrules: {}\n", "- a\n- b: [\n"]
)
def test_other_yaml_files_are_left_alone(editor: Editor, text: str) -> None:
    editor.open("other.yaml", text)
    assert editor.diagnostics("other.yaml") == []
    assert editor.at("completion", "other.yaml", 0, 0) is None
    assert editor.of("inlayHint", "other.yaml", range=lines_of(0, 9)) is None
    editor.edit("other.yaml", "cnnspec: 1\n" + text)
    assert editor.diagnostics("other.yaml") != []


def test_without_pygls_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pygls'] = None\nfrom cnnspec.cli import main; main(['lsp'])"
    found: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr == "error: the language server needs pygls: pip install 'cnnspec[lsp]'\n"

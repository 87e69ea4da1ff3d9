"""References to files of a hub: their form, and what is an error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnspec.errors import WeightsError
from cnnspec.weights import hub

SUFFIXES = (".safetensors",)
PIN = "0123456789abcdef" * 4
COMMIT = "c" * 40


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    return str(caught.value)


class TestForm:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("hf://o/n/f.safetensors", ("o/n", "main", "f.safetensors", "")),
            ("hf://o-1/n.v2_x/a/b/f.safetensors", ("o-1/n.v2_x", "main", "a/b/f.safetensors", "")),
            ("hf://o/n@v1.0/f.safetensors", ("o/n", "v1.0", "f.safetensors", "")),
            ("hf://o/n@refs%2Fpr%2F1/f.safetensors", ("o/n", "refs/pr/1", "f.safetensors", "")),
            (f"hf://o/n/f.safetensors#sha256={PIN}", ("o/n", "main", "f.safetensors", PIN)),
            (f"hf://o/n@{COMMIT}/f.safetensors#sha256={PIN.upper()}", ("o/n", COMMIT, "f.safetensors", PIN)),
        ],
    )
    def test_its_parts(self, text: str, expected: tuple[str, ...]) -> None:
        assert hub.parse(text, SUFFIXES) == expected

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("hf://", "it names no file of a repository"),
            ("hf://owner", "it names no file of a repository"),
            ("hf://owner/name", "it names no file of a repository"),
            ("hf://owner/f.safetensors", "it names no file of a repository"),
            ("hf://owner/name/", "a part of it is empty"),
            ("hf:///owner/name/f.safetensors", "a part of it is empty"),
            ("hf://owner//f.safetensors", "a part of it is empty"),
            ("hf://owner/@v1/f.safetensors", "a part of it is empty"),
            ("hf://owner/name/../f.safetensors", "`..` is no name in a repository"),
            ("hf://../name/f.safetensors", "`..` is no name in a repository"),
            ("hf://owner/name/my file.safetensors", "`my file.safetensors` is no name in a repository"),
            ("hf://owner/na me/f.safetensors", "`na me` is no name in a repository"),
            ("hf://owner/name@/f.safetensors", "`` is no revision"),
            ("hf://owner/name@a b/f.safetensors", "`a b` is no revision"),
            ("hf://owner/name@..%2Fx/f.safetensors", "`../x` is no revision"),
            ("hf://datasets/owner/name/f.safetensors", "only repositories of models are read, no datasets"),
            ("hf://owner/name/f.safetensors#", "`#` is not `#sha256=` and 64 hexadecimal digits"),
            ("hf://owner/name/f.safetensors#sha256=12", "`#sha256=12` is not `#sha256=` and 64 hexadecimal digits"),
            (f"hf://owner/name/f.safetensors#md5={PIN}", f"`#md5={PIN}` is not `#sha256=` and 64 hexadecimal digits"),
        ],
    )
    def test_any_other_is_an_error_with_the_right_one(self, text: str, reason: str) -> None:
        assert refused(hub.parse, text, SUFFIXES) == (
            f"`{text}`: {reason}; the form is hf://OWNER/NAME/FILE, or hf://OWNER/NAME@REVISION/FILE, and #sha256=HEX "
            "behind it pins the content"
        )

    def test_a_file_of_pytorch_is_only_converted(self) -> None:
        assert refused(hub.parse, "hf://a/b/c.pth", SUFFIXES) == (
            "`hf://a/b/c.pth`: its file must end in .safetensors; `cnnspec weights convert SPEC --from hf://…` "
            "converts files of PyTorch"
        )
        assert hub.parse("hf://a/b/c.pth", (".safetensors", ".pth")).file == "c.pth"
        message = refused(hub.parse, "hf://a/b/c.onnx", (".safetensors", ".pth"))
        assert message == "`hf://a/b/c.onnx`: its file must end in .safetensors or .pth"

    def test_other_names_are_paths(self) -> None:
        assert hub.local("a/b.pth", SUFFIXES) == Path("a/b.pth")
        assert not hub.is_reference("./hf://a")

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        assert refused(hub.local, "hf://o/n@v1/f.safetensors", SUFFIXES) == (
            '`hf://o/n@v1/f.safetensors` needs huggingface_hub, which is not installed: pip install "cnnspec[hub]"; '
            "or download https://huggingface.co/o/n/resolve/v1/f.safetensors and pass the path of the file"
        )

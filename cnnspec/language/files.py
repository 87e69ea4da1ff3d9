"""The text of a spec: from a path, from standard input, or from the bundled specs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from cnnspec import bundled
from cnnspec.diagnostics import Diagnostic, Label, Source, Span, SpecError
from cnnspec.wording import quoted

MAX_BYTES = 8 * 2**20


def read_file(path: str | Path) -> Source:
    """The text of a file (`-` is standard input), or a SpecError."""
    name = str(path)
    try:
        if name == "-":
            name, data = "<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(name, "there is no such file") from None
    except IsADirectoryError:
        raise _unreadable(name, "it is a directory", "name a file in it") from None
    except (OSError, ValueError) as error:
        raise _unreadable(name, str(getattr(error, "strerror", None) or error)) from None
    if len(data) > MAX_BYTES:
        message = f"{quoted(name)} is larger than {MAX_BYTES // 2**20} MiB, which no spec needs"
        raise SpecError([about_file("file-too-large", message, name)])
    return Source(name, _decode(data, name))


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SpecError([about_file("not-text", f"{quoted(name)} is UTF-16 text", name, "save it as UTF-8")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        message = f"{quoted(name)} is not UTF-8 text: the byte 0x{byte:02x} in line {line} begins no character"
        raise SpecError([about_file("not-text", message, name, "save it as UTF-8")]) from None
    if "\0" in text:
        raise SpecError([about_file("not-text", f"{quoted(name)} is a binary file, not YAML text", name)])
    return text


def _unreadable(name: str, why: str, remedy: str = "") -> SpecError:
    return SpecError([about_file("unreadable-file", f"cannot read {quoted(name)}: {why}", name, remedy)])


def about_file(code: str, message: str, name: str, remedy: str = "") -> Diagnostic:
    """A fault of a file as a whole."""
    return Diagnostic(code, message, Label(Span(Source(name, ""), 1, 1, 1, 1)), help=remedy)


def read_spec(spec: str | Path | Source) -> Source:
    """The text of a spec: a path, `-`, the name of a bundled spec (a file in the working directory wins), or itself."""
    if isinstance(spec, Source):
        return spec
    path = Path(spec)
    if str(spec) != "-" and not _exists(path) and (found := bundled.find(str(spec))) is not None:
        return Source(str(spec), read_file(found).text)
    try:
        return read_file(spec)
    except SpecError as error:
        raise _with_hint(error, str(spec)) from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that is closed
        return False


def _with_hint(error: SpecError, name: str) -> SpecError:
    from cnnspec.wording import nearest

    (fault,) = error.diagnostics
    if fault.code != "unreadable-file" or fault.help:
        return error
    near = nearest(name.removesuffix(".yaml"), bundled.names())
    hint = f"did you mean the bundled spec `{near}`?" if near else "`cnnspec specs` lists the bundled specs"
    return SpecError([replace(fault, help=hint)])


def place_beside(name: str, extending: Source) -> Path:
    """The place where a spec that another extends is looked for first."""
    return Path(extending.name).parent / name


def open_base(name: str, extending: Source) -> Source:
    """The spec that another extends: beside it, or bundled; never outside of its folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts or name == "-":
        message = f"{quoted(name)} lies outside of the spec's folder"
        raise SpecError([about_file("unreadable-file", message, name, "a spec extends one beside it, or below")])
    path, beside = Path(extending.name), place_beside(name, extending)
    if _exists(path) and _exists(beside):
        return read_file(beside)
    home = bundled.find(extending.name)
    for candidate in (home.parent / name if home else None, bundled.find(name)):
        if candidate is not None and _exists(candidate):
            return Source(name, read_file(candidate).text)
    try:
        return read_file(beside)
    except SpecError as error:
        raise _with_hint(error, name) from None

"""Text in an encoding that lacks some of its characters: these get a readable form in ASCII."""

from __future__ import annotations

import codecs
import io
import unicodedata

ASCII = {
    **dict.fromkeys("×✕", "x"), "·": "*", "−": "-", "–": "-", "—": "-", "±": "+/-", "≤": "<=", "≥": ">=", "≠": "!=",
    "≈": "~", "→": "->", "←": "<-", "↑": "^", "↓": "v", "↙": "/", "↗": "\\", "…": "...", "⌊": "floor(", "⌋": ")",
    "⌈": "ceil(", "⌉": ")", "½": "1/2", "√": "sqrt", "∞": "inf", "∫": "integral", "‖": "||", "°": " deg",
    "§": "section ", "²": "^2", "³": "^3", "⁻": "^-", "⁶": "^6", "¹": "^1", "ᵀ": "^T", "ʸ": "^y", "ˣ": "^x", "ᵗ": "^t",
    "₀": "0", "₁": "1", "₂": "2", "⊗": "(x)", "⊙": "(.)", "Σ": "sum", "Π": "prod", "Φ": "Phi", "φ": "phi",
    "σ": "sigma", "π": "pi", "λ": "lambda", "α": "alpha", "β": "beta", "γ": "gamma", "ε": "eps", "µ": "u", "μ": "u",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "：": ":", "ß": "ss", "æ": "ae", "ø": "o", "•": "*", "✓": "ok",
    "✗": "x", "▸": ">", "▾": "v", "▶": ">", "▼": "v", "◆": "*", "●": "*", "○": "o",
    **dict.fromkeys("─━═╌┄╴╶", "-"), **dict.fromkeys("│┃║╎┆╵╷", "|"), **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╞╡╪", "+"),
    **dict(zip("▁▂▃▄▅▆▇█", "_.,-~=*#", strict=True)), **dict(zip("░▒▓", ".:+", strict=True)),
    **dict(zip("▏▎▍▌▋▊▉▐", "    ####", strict=True)), "▀": "^",
}  # fmt: skip
"""What a character becomes in an encoding without it; letters with accents lose these, and others become `?`."""

_ARROWS = "←→↑↓↙↗"

HANDLER = "cnnspec.ascii"
"""The name of the error handler, which importing this module registers."""


def shown(text: str, encoding: str | None) -> str:
    """Return a text as a stream with this encoding and the error handler shows it; None is UTF-8."""
    if text.isascii() or encoding is None or encoding.lower().replace("-", "").replace("_", "") == "utf8":
        return text
    try:
        return text.encode(encoding, HANDLER).decode(encoding)
    except LookupError:
        return text


def has(text: str, encoding: str | None) -> bool:
    """Return whether an encoding has all characters of a text; None is UTF-8."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _plain(text: str, at: int) -> str:
    """Return the form of a character, which may depend on its neighbours."""
    ch = text[at]
    if ch in "←→" and any(near in _ARROWS for near in (*text[max(0, at - 1) : at], *text[at + 1 : at + 2])):
        return ASCII[ch].strip("-")
    if ch == "·" and not (text[at - 1 : at].strip() and text[at + 1 : at + 2].strip()):
        return "."
    if ch in ASCII:
        return ASCII[ch]
    letter = "".join(part for part in unicodedata.normalize("NFKD", ch) if part.isascii())
    return letter if letter and unicodedata.category(ch).startswith("L") else "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Replace the characters that cannot be encoded; the handler for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_plain(error.object, at) for at in range(error.start, error.end)), error.end


PLAIN_ASCII = "cnnspec_ascii"
"""ASCII under another name: click takes the encoding `ascii` for a mistake, and writes UTF-8 instead."""


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name != PLAIN_ASCII:
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_codec.encode,
        ascii_codec.decode,
        ascii_codec.streamreader,
        ascii_codec.streamwriter,
        ascii_codec.incrementalencoder,
        ascii_codec.incrementaldecoder,
        name,
    )


def adapt(stream: io.TextIOWrapper) -> None:
    """Let a stream write a form in ASCII of what its encoding lacks, in place of an error."""
    if codecs.lookup(stream.encoding).name == "ascii":
        stream.reconfigure(encoding=PLAIN_ASCII)
    stream.reconfigure(errors=HANDLER)


codecs.register_error(HANDLER, _replace)
codecs.register(_plain_ascii)

"""YAML text to a tree in which every key and every value knows its line and column.

YAML is read by the core rules of YAML 1.2, from libyaml's events: nothing is ever constructed from a tag, an alias
shares its node, and every limit is checked before what it guards against is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from cnnspec.diagnostics import Diagnostic, Label, Source, Span
from cnnspec.language import yaml_cuts as cuts
from cnnspec.language import yaml_errors as syntax
from cnnspec.language.yaml_node import Plain, YamlNode
from cnnspec.wording import quoted

__all__ = ["MAX_DEPTH", "MAX_DIGITS", "MAX_NODES", "UNPRINTABLE", "YamlNode", "parse", "resolve"]

MAX_DEPTH = 100
MAX_NODES = 1_000_000
MAX_DIGITS = 300

# YAML 1.2, production 1 (c-printable); half of a surrogate pair is no character either.
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(source: Source) -> tuple[YamlNode | None, list[Diagnostic]]:
    """The tree of a text (None where it has none) and what is wrong with the text itself."""
    if (stray := UNPRINTABLE.search(source.text)) is not None:
        return None, [syntax.unprintable(source, stray.start())]
    parser = _Parser(source)
    try:
        return parser.document(), parser.diagnostics
    except _Stop:
        return None, parser.diagnostics
    except yaml.YAMLError as error:
        return None, [*parser.diagnostics, syntax.fault(source, error)]


class _Stop(Exception):
    """The text cannot be read on; the reason is among the diagnostics."""


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.events = _events(source.text)
        self.anchors: dict[str, tuple[YamlNode, int, int]] = {}
        """The nodes that aliases may name, with how many values they hold and how deep they are nested."""
        self.open_anchors: set[str] = set()
        self.end = Span(source, 1, 1, 1, 1)
        """The place of the last scalar, alias or bracket that was read."""
        self.nodes = 0
        self.deepest = 0

    def document(self) -> YamlNode | None:
        root: YamlNode | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop(
                        "unsupported-yaml", "a second document begins", event, "one spec to a file", "starts here"
                    )
            elif isinstance(event, yaml.NodeEvent):
                root = self.node(event, 1)
        return root

    def node(self, event: Any, depth: int) -> YamlNode:
        self.descend(depth, event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        if event.tag is not None and event.tag != "!":
            self.tag(event)
        before, outside, self.deepest = self.nodes, self.deepest, depth
        self.count(1, event)
        anchor = event.anchor
        if anchor is not None:
            self.open_anchors.add(anchor)
        if isinstance(event, yaml.ScalarEvent):
            self.end = self.span(event)
            node = YamlNode(self.scalar(event), self.end)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = node, self.nodes - before, self.deepest - depth
        self.deepest = max(self.deepest, outside)
        return node

    def alias(self, event: Any, depth: int) -> YamlNode:
        name = event.anchor
        if name in self.open_anchors:
            self.stop("alias-expansion", f"{quoted('*' + name)} stands inside of what it names, without end", event)
        if name not in self.anchors:
            self.diagnostics.append(cuts.undefined_alias(name, self.span(event), self.anchors))
            raise _Stop
        self.end = self.span(event)
        node, size, height = self.anchors[name]
        self.count(size, event)
        self.descend(depth + height, event)
        return node

    def tag(self, event: Any) -> None:
        span = self.span(event)
        written = self.source.lines[span.line - 1][span.column - 1 :].split(maxsplit=1)
        tag = written[0] if written and written[0].startswith("!") else event.tag
        place = span._replace(end_line=span.line, end_column=span.column + len(tag)) if tag != event.tag else span
        message = f"the tag {quoted(tag)}: specs have no tags"
        self.diagnostics.append(_at("unsupported-yaml", message, place, "leave it out"))

    def descend(self, depth: int, event: Any) -> None:
        if depth > MAX_DEPTH:
            self.stop("nesting-too-deep", f"this is nested more than {MAX_DEPTH} levels deep", event)
        self.deepest = max(self.deepest, depth)

    def count(self, more: int, event: Any) -> None:
        self.nodes += more
        if self.nodes > MAX_NODES:
            self.stop("alias-expansion", f"this makes more than {MAX_NODES:,} values of the text", event)

    def sequence(self, start: Any, depth: int) -> YamlNode:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return YamlNode(tuple(items), self.collection_span(start, event))

    def mapping(self, start: Any, depth: int) -> YamlNode:
        values: dict[str, YamlNode] = {}
        keys: dict[str, Span] = {}
        merged: YamlNode | None = None
        merge: Diagnostic | None = None
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = self.end
            key_node = self.node(event, depth + 1)
            key = key_node.value
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key, str):
                if start.flow_style and (cut := self.cut_by_comma(key_node, place)):
                    self.diagnostics.append(cut)
                    raise _Stop
                remedy = "quote it" if isinstance(key, int | float | bool) else ""
                self.diagnostics.append(_at("wrong-type", "a key is text", key_node.span, remedy))
            elif key == "<<":
                message, remedy = "the merge key `<<`: specs have none", "`params` and `blocks` say things once"
                merge = _at("unsupported-yaml", message, key_node.span, remedy)
                self.diagnostics.append(merge)
                merged = value  # so that nothing of it is said to be missing
            elif key in keys:
                both = (keys[key], key_node.span)
                self.diagnostics.append(cuts.written_twice(key, place, values[key], value, both))
            else:
                keys[key] = key_node.span
                values[key] = value
        span = self.collection_span(start, event)
        if merged is not None and merge is not None:
            own, keys = values, {**merged.keys, **keys}
            values = {**dict(merged.items()), **values}
            at = next(i for i, d in enumerate(self.diagnostics) if d is merge)
            self.diagnostics[at] = cuts.with_merged(self.diagnostics[at], span, own, merged)
        return YamlNode(values, span, keys)

    def cut_by_comma(self, key: YamlNode, before: Span) -> Diagnostic | None:
        """Return what is wrong with a key that is no text, where it is the rest of a number, or a template's name."""
        if isinstance(key.value, int):
            return cuts.cut_number(key.span, before)
        return cuts.template(key.span, key.value)

    def scalar(self, event: Any) -> Plain:
        text: str = event.value
        if event.style or event.tag == "!":  # quoted
            return text
        if len(text) > MAX_DIGITS and _NUMBER.fullmatch(text):
            self.say("number-too-long", f"a number of {len(text):,} characters", event)
            return 0
        if "$(" in text and (cut := cuts.cut_expression(text, self.span(event))):
            self.diagnostics.append(cut)
            raise _Stop
        if text.startswith("(") and (cut := cuts.cut_tuple(text, self.span(event))):
            self.diagnostics.append(cut)
            raise _Stop
        return resolve(text)

    def span(self, event: Any) -> Span:
        """Return the place of a scalar or of an event."""
        start, end, lines = event.start_mark, event.end_mark, self.source.lines
        if start.line == len(lines):  # libyaml counts one more at the end of a text that ends in no line break
            at = len(lines[-1]) + 1
            return Span(self.source, len(lines), at, len(lines), at)
        if end.column == 0 and end.line > start.line:  # a block ends where the next line begins: end it before
            line = end.line
            while line > start.line + 1 and not lines[line - 1].strip():
                line -= 1
            return Span(self.source, start.line + 1, start.column + 1, line, len(lines[line - 1]) + 1)
        return Span(self.source, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def collection_span(self, start: Any, end: Any) -> Span:
        """Return the place of a list or a mapping; one without brackets ends where the last value in it does."""
        first = self.span(start)
        if start.flow_style:
            self.end = self.span(end)
        return first._replace(end_line=self.end.end_line, end_column=self.end.end_column)

    def say(self, code: str, message: str, event: Any, remedy: str = "", label: str = "") -> None:
        self.diagnostics.append(_at(code, message, self.span(event), remedy, label))

    def stop(self, code: str, message: str, event: Any, remedy: str = "", label: str = "") -> None:
        self.say(code, message, event, remedy, label)
        raise _Stop


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    while (event := loader.get_event()) is not None:
        yield event


# The core schema of YAML 1.2 (section 10.3.2), and nothing more.
_INT = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMBER = re.compile(f"{_INT.pattern}|{_RADIX.pattern}|{_FLOAT.pattern}")
_WORDS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((sign + word for sign in ("", "+") for word in (".inf", ".Inf", ".INF")), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


def resolve(text: str) -> Plain:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _at(code: str, message: str, span: Span, remedy: str = "", label: str = "") -> Diagnostic:
    return Diagnostic(code, message, Label(span, label), help=remedy)

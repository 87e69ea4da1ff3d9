"""Broken specs with the specs that their authors wanted: the cases in cases/*.md, and what the checker makes of them.

A section of a file is a case: a sentence on who makes the mistake, what is claimed of it, the broken spec, the changes
that make it the wanted one as a diff without line numbers, and what `check` says.

| key | says |
|---|---|
| `repair` | what a careful reader knows without asking: `certain`, `likely` (one repair is the most likely), `open` |
| `claim` | what the checker does: its `certain` fixes together lead to the wanted network, a `proposed` one (and the \
first ones behind it) does, or `none` |
| `mistakes` | how many there are, each of which should be one error; 0 where there is only a warning, or none |
| `surplus` | why there are more errors than mistakes |
| `reason` | why the claim is less than the repair |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import cnnspec
from cnnspec.diagnostics import Diagnostic, Fix, Source, format_diagnostic
from cnnspec.graph.difference import compare
from cnnspec.graph.spec import Spec
from cnnspec.language.fixes import edited
from cnnspec.language.fixing import certain_fixes
from cnnspec.language.load import Report

FOLDER = Path(__file__).parent / "cases"
LEVELS = ("none", "proposed", "certain")
NAME = "spec.yaml"
MOST_STEPS = 8
"""How many fixes are applied one after the other."""
MOST_STARTS = 6
"""How many fixes, beside those that `check` names first, are tried as the beginning of such a way."""

Level = Literal["none", "proposed", "certain"]
_FENCE = re.compile(r"^```(\w+)\n((?:.*\n)*?)```$", re.MULTILINE)
_FIELD = re.compile(r"^- (\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A broken spec, the wanted one, and what is claimed."""

    file: Path
    title: str
    story: str
    fields: dict[str, str]
    broken: str
    diff: str
    golden: str

    def __str__(self) -> str:
        return f"{self.file.stem}: {self.title}"

    @property
    def repair(self) -> str:
        return self.fields["repair"]

    @property
    def claim(self) -> str:
        return self.fields["claim"]

    @property
    def mistakes(self) -> int:
        return int(self.fields["mistakes"])

    @cached_property
    def source(self) -> Source:
        return Source(NAME, self.broken)

    @cached_property
    def wanted(self) -> str:
        """The text that the author wanted."""
        return "".join(text for _, _, text in self._patched())

    @cached_property
    def mistaken_lines(self) -> list[set[int]]:
        """The lines of each change of the broken text, from 1; of an insertion those on both sides."""
        found: list[set[int]] = []
        previous = -1
        for number, is_change, _ in self._patched():
            if is_change:
                if not found or number > previous + 1:
                    found.append(set())
                found[-1] |= {number} if number > 0 else {-number, 1 - number}
                previous = abs(number)
        return found

    def _patched(self) -> Iterator[tuple[int, bool, str]]:
        """Yield the wanted text in pieces: their lines (−n: behind line n), whether they change, the text."""
        lines = self.broken.splitlines(keepends=True)
        at = 0
        for hunk in re.split(r"^@@\n", self.diff, flags=re.MULTILINE)[1:]:
            changes = [(line[:1], line[1:]) for line in hunk.splitlines(keepends=True)]
            old = [text for sign, text in changes if sign != "+"]
            start = next((i for i in range(at, len(lines)) if lines[i : i + len(old)] == old), None)
            assert start is not None, f"{self}: the broken spec has no {''.join(old)!r}"
            yield from ((i + 1, False, lines[i]) for i in range(at, start))
            at = start
            replaces = any(sign == "-" for sign, _ in changes)
            for sign, text in changes:
                if sign == "+":
                    yield at if replaces else -at, True, text
                else:
                    at += 1
                    yield at, sign == "-", text if sign == " " else ""
        yield from ((i + 1, False, lines[i]) for i in range(at, len(lines)))


def cases(file: Path) -> list[Case]:
    """Return the cases of a file."""
    found = []
    for section in re.split(r"^## ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        head = rest.partition("```")[0]
        blocks = dict(_FENCE.findall(section))
        story = head.partition("\n- ")[0].strip()
        texts = (blocks["yaml"], blocks["diff"], blocks.get("text", "").rstrip("\n"))
        found.append(Case(file, title, story, dict(_FIELD.findall(head)), *texts))
    return found


def all_cases() -> list[Case]:
    """Return every case, file by file."""
    return [case for file in sorted(FOLDER.glob("*.md")) for case in cases(file)]


@dataclass
class Outcome:
    """What the checker makes of a case."""

    report: Report
    certain: bool
    first: bool
    proposed: bool
    misleads: bool = False
    """Whether the certain fixes leave nothing to be said, and another network."""
    at_mistake: bool = False
    errors: list[Diagnostic] = field(default_factory=list)

    @property
    def level(self) -> Level:
        return "certain" if self.certain else "proposed" if self.first or self.proposed else "none"


@cache
def wanted_spec(text: str) -> Spec:
    """Return the spec of a text without errors."""
    return cnnspec.load(Source(NAME, text))


def leads(report: Report, wanted: Spec) -> bool:
    """Return whether a report is of the wanted network, with all that stands around it."""
    if report.spec is None:
        return False
    difference = compare(report.spec, wanted)
    return not difference.settings and all(change.kind == "renumbered" for change in difference.layers)


def rendered(report: Report) -> str:
    """Return what `check` prints of a report."""
    return "\n\n".join(format_diagnostic(d) for d in report.diagnostics)


def by_severity(report: Report) -> list[Diagnostic]:
    """Return the diagnostics of a report, errors first."""
    return sorted(report.diagnostics, key=lambda d: d.severity != "error")


def after(source: Source, *fixes: Fix) -> Source:
    """Return a text with fixes applied."""
    return edited(*fixes).get(source.name, source)


def follow(source: Source, wanted: Spec) -> bool:
    """Return whether the certain fixes, or else the first of the first diagnostic, lead to a spec again and again."""
    for _ in range(MOST_STEPS):
        report = cnnspec.check(source)
        if leads(report, wanted):
            return True
        fixes = certain_fixes(report, source) or [fix for d in by_severity(report) for fix in d.fixes[:1]][:1]
        changed = after(source, *fixes)
        if changed == source:
            return False
        source = changed
    return False


def outcome(case: Case) -> Outcome:
    """Check a case, and try where its fixes lead."""
    wanted = wanted_spec(case.wanted)
    report = cnnspec.check(case.source)
    fixed = cnnspec.fix(case.source)
    certain = leads(fixed.report, wanted)
    first = certain or follow(case.source, wanted)
    texts = ((case.source, report), (fixed.source, fixed.report))
    starts = [after(source, fix) for source, found in texts for d in by_severity(found) for fix in d.fixes]
    proposed = first or any(follow(source, wanted) for source in dict.fromkeys(starts[:MOST_STARTS]))
    errors = [d for d in report.diagnostics if d.severity == "error"]
    misleads = bool(fixed.fixes) and not fixed.report.diagnostics and not certain
    return Outcome(report, certain, first, proposed, misleads, at_mistake(case, report), errors)


def at_mistake(case: Case, report: Report) -> bool:
    """Return whether labels are where the mistake is: those of the first diagnostic, or of several for several."""
    several = case.mistakes > 1
    touched = set()
    for d in by_severity(report)[: None if several else 1]:
        for label in (d.label, *d.others):
            if label.span.source.name == NAME:
                touched |= {*range(label.span.line, label.span.end_line + 1)}
    of_changes = [bool(lines & touched) for lines in case.mistaken_lines]
    return all(of_changes) if several else any(of_changes)

"""How well `check` explains a network that one slip has broken.

    python benchmarks/check_breaks.py [--most 12] [--seed 0] [--specs lenet unet ...] [--list]

Each bundled spec that has layers of its own is broken by one slip on one line at a time: a stride, padding or kernel
left out, added or changed, other channels, a pool too many or too few, a layer of a branch left out, another source,
another size of the input. Of the slips that make an error, at most `--most` of each spec are kept, by chance. Printed
for each kind of slip: how often a label stands at its line, how often the first fix, or any of those shown, leads back
to the network as it was, how many errors there are, and how long the check takes beside that of the whole spec.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cnnspec import bundled
from cnnspec.diagnostics import Diagnostic, Source, format_diagnostic
from cnnspec.graph.costs import summarize
from cnnspec.graph.difference import compare
from cnnspec.graph.spec import Spec
from cnnspec.language.fixes import edited
from cnnspec.language.load import Report, check

SIZES = (32, 100, 225)
"""The sizes of images that are given to networks for other ones."""


class Slip(NamedTuple):
    """A text with one line changed, taken out or written twice."""

    kind: str
    line: int
    """The line of the slip; for one that is taken out, that before it."""
    text: str


class Outcome(NamedTuple):
    name: str
    slip: Slip
    report: Report
    is_placed: bool
    """Whether a label stands at the line of the slip."""
    right: int | None
    """Which of the fixes of the first error leads back to the network, from 0; None for none of them."""
    ratio: float
    """The time of the check, in that of the spec as it was."""


def changed_values(line: str) -> Iterator[tuple[str, str]]:
    """Yield the slips within a line: what they are and the new line."""
    for match in re.finditer(r", (stride|padding): (\{[^{}]*\}|\[[^\[\]]*\]|[^,{}\[\]]+)", line):
        yield f"{match[1]} left out", line[: match.start()] + line[match.end() :]
    for match in re.finditer(r"stride: (\d+)", line):
        yield (
            "stride changed",
            line[: match.start(1)] + str(3 - int(match[1]) if match[1] in "12" else 1) + line[match.end(1) :],
        )
    for match in re.finditer(r"\bconv: \{[^{}]*kernel: \d+[^{}]*\}", line):
        if "stride" not in match[0]:
            yield "stride added", line[: match.end() - 1] + ", stride: 2" + line[match.end() - 1 :]
        if "padding" not in match[0] and "kernel: 1" not in match[0]:
            yield "padding added", line[: match.end() - 1] + ", padding: same" + line[match.end() - 1 :]
    for match in re.finditer(r"kernel: (\d+)", line):
        for kernel in (int(match[1]) - 1, int(match[1]) + 2):
            if kernel > 0:
                yield "kernel changed", line[: match.start(1)] + str(kernel) + line[match.end(1) :]
    for match in re.finditer(r"\b(?:channels|c|groups): (\d+)", line):
        for count in {2 * int(match[1]), int(match[1]) // 2} - {0}:
            yield "channels changed", line[: match.start(1)] + str(count) + line[match.end(1) :]
    for match in re.finditer(r"\[([a-z_]+: (?:\{[^{}]*\}|[^,{}\[\]]+)|relu|upsample), ", line):
        yield "layer of a branch left out", line[: match.start(1)] + line[match.end() :]


def slips(text: str) -> Iterator[Slip]:
    lines = text.split("\n")
    sources = sorted(set(re.findall(r"from: ([a-z]\w*)", text)))
    for i, line in enumerate(lines):
        code = line.split(" #")[0]
        found = [*changed_values(code)]
        for match in re.finditer(r"from: ([a-z]\w*)", code):
            others = [name for name in sources if name != match[1]]
            found += [("another source", code[: match.start(1)] + name + code[match.end(1) :]) for name in others]
        if match := re.match(r"(input: \[\d, )(\d+), (\d+)\]", code):
            found += [("another size of the input", f"{match[1]}{n}, {n}]") for n in SIZES if str(n) != match[2]]
        for kind, new in found:
            yield Slip(kind, i + 1, "\n".join([*lines[:i], new, *lines[i + 1 :]]))
        if re.match(r" +- (max_pool|avg_pool|upsample|conv_transpose)\b", code) and code.count("{") == code.count("}"):
            yield Slip("pool or upsampling twice", i + 1, "\n".join([*lines[:i], line, *lines[i:]]))
        if re.match(r" +- (max_pool|avg_pool|upsample|flatten|conv_transpose)\b", code) and code.count(
            "{"
        ) == code.count("}"):
            yield Slip("pool, upsampling or flatten left out", i, "\n".join([*lines[:i], *lines[i + 1 :]]))


def timed(source: Source, **options: bool) -> tuple[float, Report]:
    begin = time.perf_counter()
    report = check(source, **options)
    return time.perf_counter() - begin, report


def outcome(name: str, whole: Source, spec: Spec, slip: Slip) -> Outcome | None:
    """Return what the check says of a slip; None where it makes no error."""
    source = Source(name, slip.text)
    times = [(timed(source), timed(whole)) for _ in range(3)]
    report = times[0][0][1]
    errors = [d for d in report.diagnostics if d.severity == "error"]
    if not errors:
        return None
    ratio = min(broken for (broken, _), _ in times) / min(good for _, (good, _) in times)
    right = next((i for i, fix in enumerate(errors[0].fixes) if leads_back(edited(fix)[name], spec)), None)
    return Outcome(name, slip, report, any(touches(d, slip) for d in errors), right, ratio)


def touches(diagnostic: Diagnostic, slip: Slip) -> bool:
    """Return whether a label stands at the line of a slip, or where the layer begins that it belongs to."""
    lines = slip.text.split("\n")
    first = slip.line
    while first > 1 and not lines[first - 1].lstrip().startswith("- ") and slip.line - first < 3:
        first -= 1
    last = slip.line + ("left out" in slip.kind)
    return any(first <= label.span.line <= last for label in (diagnostic.label, *diagnostic.others))


def leads_back(text: Source, spec: Spec) -> bool:
    """Return whether a text is the network as it was, but for the order of layers that does not matter."""
    found = check(text, fixes=False).spec
    return found is not None and (compare(spec, found).is_empty or layers(found) == layers(spec))


def layers(spec: Spec) -> list[str]:
    rows = summarize(spec.graph).rows
    return sorted(f"{row.kind} {node.layer!r} {row.macs}" for row, node in zip(rows, spec.graph.nodes, strict=True))


def percent(parts: Iterable[bool]) -> str:
    found = [*parts]
    return f"{100 * sum(found) / len(found):.0f} %"


def line(title: str, outcomes: list[Outcome]) -> str:
    errors = [sum(d.severity == "error" for d in one.report.diagnostics) for one in outcomes]
    return (
        f"{title:<36}{len(outcomes):>6}{percent(one.is_placed for one in outcomes):>9}"
        f"{percent(one.right == 0 for one in outcomes):>11}{percent(one.right is not None for one in outcomes):>9}"
        f"{statistics.mean(errors):>9.2f}{statistics.median(one.ratio for one in outcomes):>9.2f}"
        f"{max(one.ratio for one in outcomes):>9.2f}"
    )


def without_totals(text: str) -> str:
    """Return a spec's text without the totals that its author expects, which would show any slip."""
    return re.sub(r"^expect: \{.*\}.*\n", "", text, flags=re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", nargs="+", default=[name for name in bundled.names() if "/" not in name])
    parser.add_argument("--most", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print every slip whose first fix is not right")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    outcomes: list[Outcome] = []
    for name in options.specs:
        path = bundled.find(name)
        assert path is not None
        whole = Source(name, without_totals(path.read_text("utf-8")))
        spec = check(whole).spec
        if spec is None or "extends:" in whole.text:
            continue
        candidates = list({slip.text: slip for slip in slips(whole.text)}.values())
        rng.shuffle(candidates)
        kept = 0
        for slip in candidates:
            if kept == options.most:
                break
            found = outcome(name, whole, spec, slip)
            if found is not None:
                kept += 1
                outcomes.append(found)
                if options.list and found.right != 0:
                    show(found)
    kinds = sorted({one.slip.kind for one in outcomes})
    print(f"{'slip':<36}{'count':>6}{'placed':>9}{'first fix':>11}{'any':>9}{'errors':>9}{'time ×':>9}{'worst ×':>9}")
    for kind in kinds:
        print(line(kind, [one for one in outcomes if one.slip.kind == kind]))
    print(line("all", outcomes))


def show(one: Outcome) -> None:
    lines = one.slip.text.split("\n")
    print(f"=== {one.name}, {one.slip.kind}, right: {one.right}, placed: {one.is_placed}, ×{one.ratio:.1f}")
    print(f"    line {one.slip.line}: {lines[one.slip.line - 1].strip()}")
    for diagnostic in one.report.diagnostics:
        if diagnostic.severity == "error":
            print(format_diagnostic(diagnostic))
    print()


if __name__ == "__main__":
    main()

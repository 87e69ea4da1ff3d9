"""What `cnnspec check` makes of the broken specs of tests/corpus.

    python benchmarks/check_corpus.py [--rounds 5] [--verbose]

Of all cases: how many labels are at the mistake, where the fixes lead, and how many errors there are. Of those whose
repair is certain to a reader, how many are repaired by the certain fixes alone. Times are of broken and wanted specs in
turn, the least of all rounds each, and the ratio of the two: with fixes looked for, and without.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import cnnspec
from cnnspec.diagnostics import Source

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "corpus"))

from corpus import Case, Outcome, all_cases, outcome


def share(name: str, found: int, total: int) -> str:
    return f"{name:34} {found:4} of {total}, {found / total:.1%}"


def seconds(source: Source, fixes: bool) -> float:
    start = time.perf_counter()
    cnnspec.check(source, fixes=fixes)
    return time.perf_counter() - start


def times(cases: list[Case], rounds: int) -> list[str]:
    """Return the time of broken specs beside that of the wanted ones."""
    lines = []
    for fixes in (False, True):
        ratios, broken, wanted = [], 0.0, 0.0
        for case in cases:
            right = Source("wanted.yaml", case.wanted)
            pairs = [(seconds(case.source, fixes), seconds(right, fixes)) for _ in range(rounds)]
            a, b = (min(column) for column in zip(*pairs, strict=True))
            ratios.append(a / b)
            broken, wanted = broken + a, wanted + b
        ratios.sort()
        lines.append(
            f"{'with fixes' if fixes else 'without fixes':34} {broken / wanted:.1f} times the wanted specs in all; "
            f"median {statistics.median(ratios):.1f}, 95 % below {ratios[int(0.95 * len(ratios))]:.1f}, "
            f"most {ratios[-1]:.1f}"
        )
    return lines


def figures(cases: list[Case], outcomes: list[Outcome]) -> list[str]:
    """Return the shares of the corpus."""
    n = len(cases)
    certain = [found for case, found in zip(cases, outcomes, strict=True) if case.repair == "certain"]
    single = [found for case, found in zip(cases, outcomes, strict=True) if case.mistakes == 1 and found.errors]
    return [
        f"{'cases':34} {n:4}",
        share("a label at the mistake", sum(o.at_mistake for o in outcomes), n),
        share("the first fixes lead to the wanted", sum(o.first for o in outcomes), n),
        share("some fix leads to the wanted", sum(o.level != "none" for o in outcomes), n),
        share("certain fixes alone do", sum(o.certain for o in outcomes), n),
        share("… of those a reader is certain of", sum(o.certain for o in certain), len(certain)),
        share("certain fixes lead elsewhere", sum(o.misleads for o in outcomes), n),
        f"{'errors per case':34} {sum(len(o.errors) for o in outcomes) / n:.2f}",
        share("one error for one mistake", sum(len(o.errors) == 1 for o in single), len(single)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--verbose", action="store_true", help="a line for each case")
    options = parser.parse_args()
    cases = all_cases()
    outcomes = [outcome(case) for case in cases]
    if options.verbose:
        for case, found in zip(cases, outcomes, strict=True):
            place = "" if found.at_mistake else ", labels elsewhere"
            print(f"{case.repair:8} {found.level:9} {len(found.errors)} errors of {case.mistakes}{place}  {case}")
    print("\n".join([*figures(cases, outcomes), *times(cases, options.rounds)]))


if __name__ == "__main__":
    main()

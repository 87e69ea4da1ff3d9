"""The corpus of broken specs: what the checker says of each, and where its fixes lead.

CNNSPEC_UPDATE_GOLDEN=1 (in one process, `-n 0`) rewrites what it says; claims are changed by hand.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import corpus
import pytest
from corpus import Outcome
from golden import rewrite

import cnnspec

UPDATE = os.environ.get("CNNSPEC_UPDATE_GOLDEN") == "1"
CASES = corpus.all_cases()


@cache
def _outcome(case: int) -> Outcome:
    return corpus.outcome(CASES[case])


every_case = pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: str(CASES[i]))


@every_case
def test_what_is_said(number: int) -> None:
    case = CASES[number]
    rendered = corpus.rendered(cnnspec.check(case.source))
    if UPDATE:
        rewrite(case.file, case.title, rendered)
    else:
        assert rendered == case.golden


@every_case
def test_where_its_fixes_lead(number: int) -> None:
    case, outcome = CASES[number], _outcome(number)
    assert outcome.level == case.claim
    assert outcome.misleads == ("misleads" in case.fields)


@every_case
def test_each_fix_helps_by_itself(number: int) -> None:
    report = _outcome(number).report
    before = Counter((d.code, d.message) for d in report.diagnostics)
    seen = set()
    for d in report.diagnostics:
        for fix in d.fixes:
            assert fix.edits not in seen, fix.title
            seen.add(fix.edits)
            after = cnnspec.check(corpus.after(CASES[number].source, fix), fixes=False).diagnostics
            left = Counter((found.code, found.message) for found in after)
            assert left[d.code, d.message] < before[d.code, d.message], fix.title
            assert left.keys() & {"yaml-syntax"} <= before.keys() & {"yaml-syntax"}, fix.title


@every_case
def test_one_mistake_is_one_error(number: int) -> None:
    case, outcome = CASES[number], _outcome(number)
    assert (len(outcome.errors) > case.mistakes) == ("surplus" in case.fields)


# The corpus itself


def test_it_is_large_and_its_titles_are_unique() -> None:
    assert len(CASES) >= 150
    assert max(Counter(map(str, CASES)).values()) == 1


@every_case
def test_the_wanted_spec_is_without_faults(number: int) -> None:
    case = CASES[number]
    wanted = cnnspec.check(corpus.Source(corpus.NAME, case.wanted), fixes=False)
    assert wanted.ok
    assert not corpus.leads(cnnspec.check(case.source, fixes=False), corpus.wanted_spec(case.wanted))


@every_case
def test_claims_are_complete(number: int) -> None:
    case = CASES[number]
    assert case.story
    assert case.repair in ("certain", "likely", "open")
    assert case.claim in corpus.LEVELS
    less = case.claim == "none" or (case.repair, case.claim) == ("certain", "proposed")
    assert not less or case.repair == "open" or case.fields.get("reason")

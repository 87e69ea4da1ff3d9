"""Check many specs: in several processes where that is faster, and only those that have changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from cnnspec.diagnostics import Source
from cnnspec.language.project.cache import Cache
from cnnspec.language.project.checking import Checked, Result, Settings, check_one

LEAST_FOR_PROCESSES = 200
"""The fewest specs that several processes check by default, since to start one takes as long as many checks."""


def check_all(
    specs: Sequence[str | Source], settings: Settings, *, jobs: int | None = None, cache: Cache | None = None
) -> list[Checked]:
    """Check specs, in their order; those that the cache has are not checked again.

    Without `jobs`, at least LEAST_FOR_PROCESSES specs are checked by as many processes as there are processors.
    """
    found: dict[int, Checked] = {}
    for i, spec in enumerate(specs):
        if cache and (known := cache.find(spec)) is not None:
            found[i] = known
    missing = [i for i in range(len(specs)) if i not in found]
    for i, result in zip(missing, _checked([specs[i] for i in missing], settings, jobs), strict=True):
        found[i] = result.checked
        if cache:
            cache.add(result)
    if cache:
        cache.save()
    return [found[i] for i in range(len(specs))]


def _checked(specs: Sequence[str | Source], settings: Settings, jobs: int | None) -> list[Result]:
    if jobs is None:
        jobs = _processors() if len(specs) >= LEAST_FOR_PROCESSES else 1
    check_it = partial(check_one, settings=settings)
    if min(jobs, len(specs)) <= 1:
        return [check_it(spec) for spec in specs]
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(min(jobs, len(specs)), get_context("spawn")) as pool:
        return list(pool.map(check_it, specs, chunksize=max(1, min(50, len(specs) // (4 * jobs)))))


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

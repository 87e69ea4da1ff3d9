"""The Torch backend on CUDA: what it computes, how it trains, how fast it is, and what memory it takes.

    python benchmarks/gpu.py [--only proof training speed memory] [--data DIR] [--json FILE]
    python benchmarks/gpu.py --dry            # all of it on the CPU, with little of everything

It needs PyTorch built for CUDA, and this directory beside the packages; torchvision is measured where it is installed,
and `pytest -m gpu` is run where the tests are there. Faults are printed last, and give the exit status 1. Figures are
medians of rounds in which the peers take turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gpu_memory
import gpu_proof
import gpu_speed
import gpu_training
import torch
from gpu_section import Section, Settings

from cnnspec.errors import CnnspecError
from cnnspec.view.table import table_lines

SECTIONS: dict[str, Callable[[Settings], list[Section]]] = {
    "proof": gpu_proof.sections,
    "training": gpu_training.sections,
    "speed": gpu_speed.sections,
    "memory": gpu_memory.sections,
}


def machine(settings: Settings) -> str:
    """Return the device and the versions, in one line."""
    name = platform.processor() or platform.machine()
    if settings.is_cuda:
        found = torch.cuda.get_device_properties(0)
        name = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    return f"{time.strftime('%Y-%m-%d')}; {name}; Python {platform.python_version()}, torch {torch.__version__}"


def lines(section: Section, *, markdown: bool) -> list[str]:
    """Return a section as text, or as a table in Markdown."""
    head = [f"### {section.title}" if markdown else section.title, ""]
    columns = section.columns()
    if not columns:
        return [*head, *section.notes, ""]
    if markdown:
        rows = zip(*columns.values(), strict=True)
        table = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *(f"| {' | '.join(row)} |" for row in rows)]
    else:
        table = table_lines(columns, lambda text, role: text, left=tuple(columns)[:1])
    return [*head, *table, *(["", *section.notes] if section.notes else []), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--dry", action="store_true", help="run everything on the CPU, to see that it runs")
    parser.add_argument("--data", type=Path, metavar="DIR", help="directory that holds fashion-mnist, for the training")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes")
    parser.add_argument("--minutes", type=float, default=8.0, help="begin no further measurement after this time")
    parser.add_argument("--markdown", action="store_true", help="print tables as docs/performance.md has them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows to a file, too")
    given = parser.parse_args()
    if not given.dry and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --dry runs everything on the CPU")
    settings = Settings(
        device="cpu" if given.dry else "cuda",
        data=given.data,
        compiles=not given.no_compile,
        until=time.monotonic() + 60 * given.minutes,
    )
    print(machine(settings), *(["dry: the figures are of the CPU, and say nothing of CUDA"] if given.dry else []), "")
    found: list[Section] = []
    for name in given.only:
        try:
            sections = SECTIONS[name](settings)
        except (CnnspecError, RuntimeError) as error:  # a section that fails leaves the others
            sections = [Section(name, faults=[f"{type(error).__name__}: {error}"])]
        for section in sections:
            print("\n".join(lines(section, markdown=given.markdown)), flush=True)
        found += sections
    if given.json:
        content = {"machine": machine(settings), "dry": given.dry, "sections": [one.to_dict() for one in found]}
        given.json.write_text(json.dumps(content, indent=2))
    faults = [f"{section.title}: {fault}" for section in found for fault in section.faults]
    print("\n".join([f"{len(faults)} faults", *faults]) if faults else "no faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

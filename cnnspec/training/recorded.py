"""The folder of a run: what it holds, and the spec, the options and the weights that are read from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import ndiff
from pathlib import Path
from typing import Any

from cnnspec import atomic
from cnnspec.data import DataError
from cnnspec.data.options import DataOptions
from cnnspec.errors import TrainingError
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.load import load
from cnnspec.language.render import render
from cnnspec.runtime.options import Execution

SPEC, SETTINGS = "spec.yaml", "run.json"
MOST_CHANGES = 12
"""Lines that a message shows."""
LAST, BEST, METRICS = "last.safetensors", "best.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Recorded:
    """What a run was started with."""

    folder: Path
    spec: Spec
    execution: Execution
    data_dir: Path | None
    """The directory that holds the named datasets."""
    skip_broken: bool = False
    """Whether samples with a broken file were left out."""
    logs: tuple[str, ...] = ()
    """The logs that it writes."""

    def data_with(self, data: DataOptions) -> DataOptions:
        """Return the options of the run's data, with the given ones in place of its own."""
        return replace(data, folder=data.folder or self.data_dir, skip_broken=data.skip_broken or self.skip_broken)

    @property
    def weights(self) -> Path:
        """The file with the weights that are the result of the run; raise DataError where it has none yet."""
        path = self.folder / (BEST if (self.spec.train or Train()).chooses_best else LAST)
        if not path.exists():
            raise DataError(f"{self.folder} has no {path.name}: the run has not completed an epoch")
        return path

    def execution_with(self, given: Mapping[str, Any]) -> Execution:
        """Return the execution of the run with the given fields in place of its own.

        On another backend nothing of the run's applies.
        """
        if given.get("backend", self.execution.backend) != self.execution.backend:
            return Execution(**given)
        options = {**self.execution.options, **given.get("options", {})}
        return replace(self.execution, **{**given, "options": options})


def is_run(path: object) -> bool:
    """Return whether a path names the folder of a run."""
    return isinstance(path, str | Path) and (Path(path) / SETTINGS).is_file()


def write_run(folder: Path, spec: Spec, execution: Execution, data: DataOptions, logs: Sequence[str] = ()) -> str:
    """Write the spec as it is run, and the options; return the text of the spec."""
    source = str(data.folder) if data.folder else None
    record = asdict(execution) | {"data_dir": source, "skip_broken": data.skip_broken, "logs": list(logs)}
    text = render(spec)
    atomic.write(folder / SPEC, text.encode())
    atomic.write(folder / SETTINGS, (json.dumps(record, indent=2) + "\n").encode())
    return text


def expect_same_spec(folder: Path, metadata: Mapping[str, str]) -> None:
    """Raise TrainingError, with the lines that differ, where the spec is not the one of the checkpoint's metadata."""
    before, now = metadata.get("spec_text"), (folder / SPEC).read_text("utf-8")
    if before is None or before == now:
        return
    changes = [line for line in ndiff(before.splitlines(), now.splitlines()) if line[0] in "+-"]
    raise TrainingError(
        f"{folder / SPEC} has changed since the run began, and would be another run (- was trained, + is there now):\n"
        + "\n".join(f"  {line}" for line in changes[:MOST_CHANGES])
        + f"\nundo that, or start a new run from the weights (`--start {folder / LAST}`)"
    )


def read_run(folder: Path) -> Recorded:
    """Return what a run was started with; raise DataError where its options cannot be read."""
    try:
        record = json.loads((folder / SETTINGS).read_text("utf-8"))
        source, skip_broken, logs = record.pop("data_dir"), record.pop("skip_broken", False), record.pop("logs", [])
        execution = Execution(**record)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(f"{folder / SETTINGS} is not what a run writes there: {error}") from error
    return Recorded(folder, load(folder / SPEC), execution, Path(source) if source else None, skip_broken, tuple(logs))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return the record of each epoch of a run so far; a line that is not whole is left out."""
    metrics = folder / METRICS
    lines = metrics.read_text("utf-8").splitlines() if metrics.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]

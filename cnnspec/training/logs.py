"""Logs of a run beside metrics.jsonl: a CSV file, and event files for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cnnspec import atomic
from cnnspec.errors import TrainingError
from cnnspec.wording import nearest

CSV, TENSORBOARD = "csv", "tensorboard"
CSV_FILE, EVENTS = "metrics.csv", "tensorboard"
"""Their names in the folder of a run."""


class Log(Protocol):
    """Where the records of epochs are written to."""

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add the last of the records; those before it are the epochs so far."""

    def close(self) -> None:
        """Finish the files."""


def open_logs(names: Sequence[str], folder: Path, records: Sequence[Mapping[str, Any]]) -> list[Log]:
    """Return the logs of these names in the folder of a run, which has these records already.

    Raises TrainingError for an unknown name, and where what writes a log is not installed.
    """
    expect_known(names)
    return [LOGS[name](folder, records) for name in dict.fromkeys(names)]


def expect_known(names: Sequence[str]) -> None:
    """Raise TrainingError for a name that no log has."""
    for name in names:
        if name not in LOGS:
            near = nearest(name, LOGS)
            remedy = f"did you mean `{near}`?" if near else f"there are {', '.join(LOGS)}"
            raise TrainingError(f"there is no log `{name}`: {remedy}")


def numbers(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Yield the numbers of a record by name, those of several outputs as `output.metric`."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{key}." if key != "outputs" else prefix)
        elif value is None or isinstance(value, int | float):
            yield f"{prefix}{key}", value


class CsvLog:
    """A table with a row for each epoch, which is written whole each time: it always agrees with metrics.jsonl."""

    def __init__(self, folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
        self.path = folder / CSV_FILE
        if records:
            self.write(records)

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write all records."""
        rows = [dict(numbers(record)) for record in records]
        text = io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        atomic.write(self.path, text.getvalue().encode())

    def close(self) -> None:
        """Do nothing: the file is whole."""


class TensorBoardLog:
    """Event files, with a scalar for each number of a record at its step."""

    def __init__(self, folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                'the log `tensorboard` needs tensorboardX, which is not installed: pip install "cnnspec[tensorboard]"'
            ) from error
        # What an interrupted run wrote beyond its last checkpoint is hidden.
        after = records[-1]["step"] + 1 if records else None
        self._writer = SummaryWriter(str(folder / EVENTS), purge_step=after, filename_suffix=f".{len(records)}")

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add the numbers of the last record."""
        record = records[-1]
        for name, value in numbers(record):
            if value is not None and name not in ("epoch", "step"):
                self._writer.add_scalar(tag(name), value, record["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


def tag(name: str) -> str:
    """Return the name of a scalar, of which those of one split stand together: `validation/loss`."""
    output, dot, key = name.rpartition(".")
    split, line, metric = key.partition("_")
    found = f"{split}/{metric}" if line and split in ("validation", "test") else f"train/{key}"
    return f"{output}/{found}" if dot else found


LOGS: dict[str, Callable[[Path, Sequence[Mapping[str, Any]]], Log]] = {CSV: CsvLog, TENSORBOARD: TensorBoardLog}

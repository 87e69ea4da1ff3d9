"""A worker process: it loads batches of splits for the process that started it.

    python -m cnnspec.data.worker

Requests and answers are pickled on the standard input and output; the process ends when its input does.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from typing import Any

from cnnspec.arrays import Array
from cnnspec.data.augment import Augmentation
from cnnspec.data.loader import write_answer
from cnnspec.data.split import Split
from cnnspec.errors import CnnspecError


def answer(
    split: Split, indices: Array, augmentation: Augmentation | None, pixels: bool
) -> tuple[CnnspecError | str | None, Any]:
    """Return no fault and a batch, or the fault: an error that a user can cause, or the text of any other."""
    try:
        return None, split.load(indices, augmentation, pixels=pixels)
    except CnnspecError as error:
        return type(error)(*error.args), None
    except Exception:
        return traceback.format_exc(), None


def main() -> None:
    """Answer requests until the input ends, or nobody reads the answers."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    splits: list[Split] = []
    try:
        while True:
            split, parts, augmentation, pixels = pickle.load(requests)
            if isinstance(split, int):
                split = splits[split]
            else:
                splits.append(split)
            for indices in parts:
                found = answer(split, indices, augmentation, pixels)
                write_answer(answers, found)
                if found[0] is not None:
                    break
    except (EOFError, BrokenPipeError):
        os._exit(0)  # without writing the rest, which nobody reads


if __name__ == "__main__":
    main()

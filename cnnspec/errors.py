"""The errors that a user can cause: the command line reports each of them as a message, never as a traceback."""

from __future__ import annotations


class CnnspecError(Exception):
    """The base of all errors that a user can cause; the message says what is wrong and what to do."""


class BackendError(CnnspecError):
    """A backend that is not there or cannot do what is asked; the message says what to do."""


class InputError(CnnspecError, ValueError):
    """Numbers that a network cannot take; the message says what it takes."""


class WeightsError(CnnspecError, ValueError):
    """Weights that cannot be read or written, or that do not fit; the message names the file and every tensor."""


class DataError(CnnspecError, ValueError):
    """Data that cannot be trained or evaluated on; the message says which, why, and what to do."""


class TrainingError(CnnspecError, RuntimeError):
    """Training that cannot go on; the message says why."""


class MemoryLimitError(CnnspecError, MemoryError):
    """A network that would take more memory than it may; the message has the figures."""

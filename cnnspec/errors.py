"""The errors that a user can cause: the command line reports each of them as a message, never as a traceback."""

from __future__ import annotations


class CnnspecError(Exception):
    """The base of all errors that a user can cause; the message says what is wrong and what to do."""


class BackendError(CnnspecError):
    """A backend that is missing or lacks what is asked for."""


class InputError(CnnspecError, ValueError):
    """An input or a target that does not fit the network."""


class WeightsError(CnnspecError, ValueError):
    """Weights that cannot be read or written, or that do not fit the network; the message lists every tensor."""


class DataError(CnnspecError, ValueError):
    """A dataset or a run that cannot be read or does not fit the network."""


class TrainingError(CnnspecError, RuntimeError):
    """Training that cannot continue, such as a loss that is not finite."""


class MemoryLimitError(CnnspecError, MemoryError):
    """A network that would take more memory than the limit; the message has the figures."""


class ImportingError(CnnspecError, ValueError):
    """A model of another format that cannot be read, or that has operations without counterpart."""


class ExportError(CnnspecError):
    """A network that another format cannot hold, or whose exported form computes something else."""


class DiagramError(CnnspecError):
    """A network that a view cannot draw, or a picture that would be too large."""

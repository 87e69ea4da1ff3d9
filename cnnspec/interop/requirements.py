"""The libraries of other formats, which are optional."""

from __future__ import annotations

import importlib.util

from cnnspec.errors import BackendError


def is_installed(module: str) -> bool:
    """Return whether a module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def require(*modules: str, extra: str) -> None:
    """Raise BackendError, with the command that installs them, where one of the modules is not installed."""
    if missing := [name for name in modules if not is_installed(name)]:
        verb = "is" if len(missing) == 1 else "are"
        raise BackendError(f'{" and ".join(missing)} {verb} not installed: pip install "cnnspec[{extra}]"')

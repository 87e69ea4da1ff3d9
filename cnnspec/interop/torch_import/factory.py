"""A PyTorch module by the place of its factory: `package.module:factory`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec.errors import ImportingError
from cnnspec.interop.requirements import require

_REFERENCE = re.compile(r"(?P<place>[^:()]+):(?P<path>[A-Za-z_][\w.]*)(?P<arguments>\(.*\))?", re.DOTALL)
FORM = "`package.module:factory` or `file.py:factory`, with arguments as in `models:resnet('small', classes=10)`"


class Reference(NamedTuple):
    """The place of a factory, and what it is called with."""

    place: str
    """A module of Python, or the path of a file."""
    path: str
    """The name in it, with dots for attributes."""
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the factory alone."""
        return self.path.rpartition(".")[2]


def is_reference(text: str) -> bool:
    """Return whether a text is the place of a factory, and no path of a file that exists."""
    return _REFERENCE.fullmatch(text) is not None and not Path(text).exists()


def parsed(text: str) -> Reference:
    """Return a reference; arguments are numbers, texts, and lists, tuples and dicts of these, as Python writes them."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ImportingError(f"`{text}` is no place of a module: write {FORM}")
    try:
        call = ast.parse(f"f{found['arguments'] or '()'}", mode="eval").body
        assert isinstance(call, ast.Call)
        arguments = tuple(ast.literal_eval(value) for value in call.args)
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise ImportingError(
            f"the arguments `{found['arguments']}` are no numbers and texts as Python writes them: write {FORM}"
        ) from None
    return Reference(found["place"], found["path"], arguments, keywords)


def module_of(text: str) -> Any:
    """Return the module that a factory makes, by its place; the code there is run.

    What is there may also be a class of modules, which is called, or a module itself. Raises ImportingError where the
    code cannot be imported, has no such name, fails, or makes no module.
    """
    require("torch", extra="torch")
    import torch

    reference = parsed(text)
    found: Any = _imported(reference.place)
    for part in reference.path.split("."):
        if not hasattr(found, part):
            known = ", ".join(f"`{name}`" for name in dir(found) if not name.startswith("_") and _makes(found, name))
            raise ImportingError(f"`{reference.place}` has no `{reference.path}`; it has {known or 'nothing to call'}")
        found = getattr(found, part)
    if not isinstance(found, torch.nn.Module):
        if not callable(found):
            raise ImportingError(f"`{text}` is a {type(found).__name__}, and no factory of a module")
        try:
            found = found(*reference.arguments, **reference.keywords)
        except Exception as error:  # whatever the factory raises
            raise ImportingError(f"`{text}` fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, torch.nn.Module):
        raise ImportingError(f"`{text}` makes a {type(found).__name__}, and no torch.nn.Module")
    return found


def _makes(found: Any, name: str) -> bool:
    return callable(getattr(found, name, None)) and getattr(getattr(found, name), "__module__", "") == found.__name__


def _imported(place: str) -> Any:
    """Return a module of Python, by its name (the working directory counts) or by the path of its file."""
    path = Path(place)
    if path.suffix != ".py" and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        if path.suffix != ".py":
            return importlib.import_module(place)
        if not path.is_file():
            raise ImportingError(f"there is no file `{place}`")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        spec.loader.exec_module(module)
    except ImportingError:
        raise
    except Exception as error:  # whatever the code raises
        raise ImportingError(f"`{place}` cannot be imported: {type(error).__name__}: {error}") from error
    return module


def load_state(module: Any, path: str | Path) -> None:
    """Load a state_dict (safetensors, or a file of torch.save) into a module; raise ImportingError where it misfits."""
    import torch

    from cnnspec.weights.conversion import tensors

    state = {name: torch.from_numpy(array) for name, array in tensors(path).items()}
    counters = {name for name in module.state_dict() if name.endswith("num_batches_tracked")}
    try:
        result = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ImportingError(f"`{path}` does not fit the module: {error}") from error
    missing = [name for name in result.missing_keys if name not in counters]
    if missing or result.unexpected_keys:
        parts = [
            f"{len(names)} tensor{'s' * (len(names) != 1)} {what}: {', '.join(names[:5])}{' …' * (len(names) > 5)}"
            for names, what in ((missing, "missing"), (result.unexpected_keys, "that the module has not"))
            if names
        ]
        raise ImportingError(f"`{path}` does not fit the module: {'; '.join(parts)}")

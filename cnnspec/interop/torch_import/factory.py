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
    arguments, keywords = _literals(found["arguments"] or "()")
    return Reference(found["place"], found["path"], arguments, keywords)


def _literals(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call, `(1, name="a")`, as values; nothing is evaluated."""
    fault = ImportingError(f"the arguments `{text}` are no numbers and texts as Python writes them: write {FORM}")
    try:
        call = ast.parse(f"f{text}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise fault
        values = tuple(ast.literal_eval(value) for value in call.args)
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise fault from None
    if None in named:  # of **
        raise fault
    return values, {str(name): value for name, value in named.items()}


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
        except (Exception, SystemExit) as error:  # whatever the factory raises
            raise ImportingError(f"`{text}` fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, torch.nn.Module):
        raise ImportingError(f"`{text}` makes a {type(found).__name__}, and no torch.nn.Module")
    return found


def _makes(found: Any, name: str) -> bool:
    return callable(getattr(found, name, None)) and getattr(getattr(found, name), "__module__", "") == found.__name__


def _imported(place: str) -> Any:
    """Return a module of Python, by its name (the working directory counts) or by the path of its file."""
    path = Path(place)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise ImportingError(f"there is no file `{place}`")
    folder = str(path.parent.resolve() if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python FILE` and `python -m MODULE` do
    try:
        return _executed(path) if is_file else importlib.import_module(place)
    except (Exception, SystemExit) as error:  # whatever the code raises
        raise ImportingError(f"`{place}` cannot be imported: {type(error).__name__}: {error}") from error


def _executed(path: Path) -> Any:
    """Return the module of a file, whatever other modules are called."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module can be made of {path}")
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    finally:
        if before is not None:
            sys.modules[path.stem] = before
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

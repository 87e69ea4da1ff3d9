"""Weights files on a model hub: `hf://owner/name/file`, downloaded into the hub's cache and checked by their hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

from cnnspec.errors import WeightsError
from cnnspec.version import __version__
from cnnspec.wording import one_of

SCHEME = "hf://"
MAIN = "main"
_FORM = "hf://OWNER/NAME/FILE, or hf://OWNER/NAME@REVISION/FILE, and #sha256=HEX behind it pins the content"
_PIN = "sha256="
_OTHER_KINDS = ("datasets", "spaces", "buckets")
"""First parts of references to repositories that hold no models."""


class Reference(NamedTuple):
    """A file of a repository, at a branch, tag or commit; `sha256` is empty where the reference pins no content."""

    repository: str
    revision: str
    file: str
    sha256: str


def is_reference(text: str | Path) -> bool:
    """Return whether a text refers to a file on the hub."""
    return isinstance(text, str) and text.startswith(SCHEME)


def local(name_or_path: str | Path, suffixes: Sequence[str]) -> Path:
    """Return the path of a weights file: `hf://…` is downloaded unless it is in the hub's cache, and others are paths.

    A file of the hub is compared with the hash that the hub names it by, and with that of `#sha256=`.
    Raises WeightsError where the reference or its suffix is wrong, the file cannot be had, or its hash is another.
    """
    if not is_reference(name_or_path):
        return Path(name_or_path)
    text = str(name_or_path)
    reference = parse(text, suffixes)
    hub = _library(text, reference)
    try:
        found = hub.hf_hub_download(
            reference.repository,
            reference.file,
            revision=reference.revision,
            library_name="cnnspec",
            library_version=__version__,
        )
    except Exception as error:  # the library raises the errors of its HTTP client, too
        _refuse(hub, text, reference, error)
    path = Path(found)
    _check(hub, text, reference, path)
    return path


def parse(text: str, suffixes: Sequence[str]) -> Reference:
    """Return the parts of a reference; raise WeightsError where it has another form, or none of the suffixes."""

    def wrong(reason: str) -> NoReturn:
        raise WeightsError(f"`{text}`: {reason}; the form is {_FORM}")

    place, hash_sign, pin = text.removeprefix(SCHEME).partition("#")
    parts = place.split("/")
    if parts[0] in _OTHER_KINDS:
        wrong(f"only repositories of models are read, no {parts[0]}")
    if len(parts) < 3:
        wrong("it names no file of a repository")
    owner, (name, at, revision), file = parts[0], parts[1].partition("@"), parts[2:]
    revision = revision.replace("%2F", "/").replace("%2f", "/")  # as in refs%2Fpr%2F1
    if not all((owner, name, *file)):
        wrong("a part of it is empty")
    if odd := next((p for p in (owner, name, *file) if not re.fullmatch(r"[\w.+=,-]+", p) or p in (".", "..")), ""):
        wrong(f"`{odd}` is no name in a repository")
    if at and (not re.fullmatch(r"[\w.+/-]+", revision) or ".." in revision):
        wrong(f"`{revision}` is no revision")
    if hash_sign and not (pin.startswith(_PIN) and re.fullmatch("[0-9a-fA-F]{64}", pin.removeprefix(_PIN))):
        wrong(f"`#{pin}` is not `#sha256=` and 64 hexadecimal digits")
    if not file[-1].lower().endswith(tuple(suffixes)):
        raise WeightsError(f"`{text}`: its file must end in {one_of(suffixes)}{_remedy(file[-1])}")
    return Reference(f"{owner}/{name}", revision or MAIN, "/".join(file), pin.removeprefix(_PIN).lower())


def _remedy(file: str) -> str:
    torch = file.lower().endswith((".pth", ".pt", ".bin", ".ckpt"))
    return "; `cnnspec weights convert SPEC --from hf://…` converts files of PyTorch" if torch else ""


def _library(text: str, reference: Reference) -> Any:
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        url = _url("https://huggingface.co", reference)
        raise WeightsError(
            f'`{text}` needs huggingface_hub, which is not installed: pip install "cnnspec[hub]"; '
            f"or download {url} and pass the path of the file"
        ) from error


def _check(hub: Any, text: str, reference: Reference, path: Path) -> None:
    """Raise WeightsError where the file is not the one that its hashes describe."""
    etag = _etag(hub, reference, path)
    wanted = {"the reference": reference.sha256, "the hub": etag if len(etag) == 64 else ""}
    if any(wanted.values()):
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        for origin, expected in wanted.items():
            if expected and actual != expected:
                raise WeightsError(
                    f"`{text}` is not used: its SHA-256 is {actual}, and {origin} says {expected}"
                    + (f"; delete `{path.resolve()}` to download it again" if origin == "the hub" else "")
                )


def _etag(hub: Any, reference: Reference, path: Path) -> str:
    """Return the hub's name of the content: its SHA-256 where it is stored as a large file, else the hash of git.

    The cache links to contents by this name. On a file system without links the hub is asked for it; without a
    connection it is unknown, and the result is empty.
    """
    if path.is_symlink():
        return path.readlink().name
    try:
        url = hub.hf_hub_url(reference.repository, reference.file, revision=reference.revision)
        return hub.get_hf_file_metadata(url).etag or ""
    except Exception:  # as above
        return ""


def _refuse(hub: Any, text: str, reference: Reference, error: Exception) -> NoReturn:
    """Raise WeightsError, which says why a file cannot be had, and what to do."""
    errors, constants = import_module("huggingface_hub.utils"), import_module("huggingface_hub.constants")
    repository, revision, file, _ = reference
    server = constants.ENDPOINT
    log_in = "log in with the `login` command of huggingface_hub, or set HF_TOKEN"
    status = getattr(getattr(error, "response", None), "status_code", None)
    by_hand = f"download {_url(server, reference)} where there is a connection, and pass the path of the file"
    if isinstance(error, errors.GatedRepoError):
        reason = f"`{repository}` is gated: accept its conditions at {server}/{repository}, and {log_in}"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = f"there is no repository `{repository}` at {server}, or it is private: then {log_in}"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"`{repository}` has no revision `{revision}`"
    elif isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        reason = f"`{repository}` has no file `{file}` at the revision `{revision}`; see {server}/{repository}"
    elif isinstance(error, errors.HFValidationError):
        reason = f"`{repository}` is no repository: {_first_line(error)}"
    elif status in (401, 403):
        reason = f"{server} denies access ({status}): {log_in}"
    elif isinstance(error.__cause__ or error, errors.OfflineModeIsEnabled):
        reason = f"HF_HUB_OFFLINE is set, and the file is not in the cache `{constants.HF_HUB_CACHE}`; {by_hand}"
    else:
        reason = f"the download failed ({_first_line(error.__cause__ or error)}); {by_hand}"
    raise WeightsError(f"`{text}`: {reason}") from error


def _url(server: str, reference: Reference) -> str:
    return f"{server}/{reference.repository}/resolve/{quote(reference.revision, safe='')}/{quote(reference.file)}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

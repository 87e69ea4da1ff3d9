"""Names of torchvision's and timm's networks, which tell the order of the layers where a file does not keep it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

ROLES = ("weight", "bias", "running_mean", "running_var")
"""The last part of a tensor's name, if it is one of several tensors of a layer."""


class Family(NamedTuple):
    """The names inside of the network, and of each kind of module in it, in the order of the bundled specs.

    `#` stands for a number, `*` for any text, and a name with `?` may be absent. Modules whose names are numbers are in
    the order of these. `renames` are endings that stand for others. `remark` says what no spec has.
    """

    networks: tuple[str, ...]
    modules: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    remark: str = ""


class Recognised(NamedTuple):
    """The family that all names of a file fit, and its tensors in order: the name to go by, and that in the file."""

    name: str
    family: Family
    names: dict[str, str]


_UNIT = "conv bn"
_SQUEEZE = "fc1 fc2"

FAMILIES = {
    "torchvision's networks of features and a classifier": Family(
        ("features classifier",),
        ("block", "conv", "layer_scale block", "squeeze expand1x1 expand3x3", _SQUEEZE),
    ),
    "torchvision's MNASNet": Family(("layers classifier",), ("layers",)),
    "torchvision's SSDLite": Family(
        ("backbone head",),
        ("features extra", "block", _SQUEEZE, "classification_head regression_head", "module_list"),
    ),
    "torchvision's or timm's ResNet": Family(
        ("conv1 bn1 layer# fc", "stem layer# fc"),
        (
            "conv1 bn1 conv2 bn2 se? downsample?",
            "conv1 bn1 conv2 bn2 conv3 bn3 se? downsample?",
            "conv1 conv2 downsample?",
            _SQUEEZE,
        ),
    ),
    "torchvision's or timm's DenseNet": Family(
        ("features classifier",),
        (
            "conv0 norm0 denseblock1 transition1 denseblock2 transition2 denseblock3 transition3 denseblock4 norm5",
            "denselayer#",
            "norm1 conv1 norm2 conv2",
            "norm conv",
        ),
    ),
    "torchvision's ShuffleNetV2": Family(("conv1 stage# conv5 fc",), ("branch1? branch2",)),
    "torchvision's GoogLeNet": Family(
        ("conv1 conv2 conv3 inception* aux1? aux2? fc",), ("branch#", "conv fc1 fc2", _UNIT)
    ),
    "torchvision's or timm's Inception": Family(
        ("Conv2d_* Mixed_5* Mixed_6* AuxLogits? Mixed_7* fc",),
        (
            "branch1x1? branch5x5_#? branch3x3? branch3x3_*? branch7x7_#? branch7x7x3_#? branch3x3dbl_*? "
            "branch7x7dbl_#? branch_pool?",
            "conv0 conv1 fc",
            _UNIT,
        ),
    ),
    "torchvision's RegNet": Family(("stem trunk_output fc",), ("block*", "proj? f", "a b se? c", _SQUEEZE)),
    "timm's RegNet": Family(("stem s# head",), ("b#", "downsample? conv1 conv2 se? conv3", _UNIT, _SQUEEZE, "fc")),
    "timm's EfficientNet": Family(
        ("conv_stem bn1 blocks conv_head bn2? classifier",),
        (
            "conv bn1",
            "conv_exp bn1 se? conv_pwl bn2",
            "conv_dw bn1 se? conv_pw bn2",
            "conv_pw bn1 conv_dw bn2 se? conv_pwl bn3",
            "conv_reduce conv_expand",
        ),
    ),
    "timm's ConvNeXt": Family(
        ("stem stages head",), ("downsample? blocks", "gamma conv_dw norm mlp", _SQUEEZE, "norm fc")
    ),
    "timm's DarkNet": Family(("stem stages head",), ("conv1 conv2?", "conv_down blocks", _UNIT, "fc")),
    "timm's VGG": Family(("features pre_logits head",), (_SQUEEZE, "fc")),
    "timm's vision transformer": Family(
        ("cls_token? pos_embed patch_embed blocks norm? fc_norm? head",),
        ("proj", "norm1 attn norm2 mlp", "qkv proj", _SQUEEZE),
        renames=(("qkv.weight", "in_proj_weight"), ("qkv.bias", "in_proj_bias")),
        remark="`cls_token` is a class token, and `pos_embed` has a position more for it; the spec has "
        "none: `cnnspec import` writes a spec of the module with its weights",
    ),
}
"""By what they are called in messages. A family is recognised by all names of a file, and never by a part of them."""


def recognise(names: Sequence[str]) -> Recognised | None:
    """Return the family whose modules have all names of a file, and the names in its order; None where there is none.

    The order is that of the names alone: the names may be in any.
    """
    paths = {name: _parts(name) for name in names}
    inside: dict[tuple[str, ...], dict[str, None]] = {}
    for parts in paths.values():
        for i, part in enumerate(parts):
            inside.setdefault(parts[:i], {})[part] = None
    for called, family in FAMILIES.items():
        networks, modules = ([_pattern(text) for text in texts] for texts in (family.networks, family.modules))
        ranks = {above: _ranks(children, modules if above else networks) for above, children in inside.items()}
        if all(ranks.values()) and not _numbered(inside.get((), {})):
            places = {n: [ranks[p[:i]][part] for i, part in enumerate(p)] for n, p in paths.items()}
            return Recognised(called, family, {_renamed(n, family): n for n in sorted(names, key=places.__getitem__)})
    return None


def natural(name: str) -> list[list[str | int]]:
    """Return a key that sorts layer2 before layer10."""
    return [
        [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", step))] for step in name.split(".")
    ]


Entry = tuple[re.Pattern[str], bool]
"""A name in a module, and whether it may be absent."""
Rank = tuple[int, list[list[str | int]]]


def _parts(name: str) -> tuple[str, ...]:
    """Return the modules around a tensor, the tensor itself included where it is a layer of its own."""
    *above, last = name.split(".")
    return tuple(above) if last in ROLES else (*above, last)


def _pattern(text: str) -> list[Entry]:
    def entry(word: str) -> Entry:
        name = re.escape(word.removesuffix("?")).replace(r"\#", "[0-9]+").replace(r"\*", ".*")
        return re.compile(name), word.endswith("?")

    return [entry(word) for word in text.split()]


def _ranks(children: Iterable[str], modules: Sequence[Sequence[Entry]]) -> dict[str, Rank]:
    """Return the places of names in the first module that has them all; nothing where no module does."""
    names = list(children)
    if _numbered(names):
        return {name: (int(name), []) for name in names}
    for entries in modules:
        found = {
            name: next((i for i, (pattern, _) in enumerate(entries) if pattern.fullmatch(name)), -1) for name in names
        }
        used = set(found.values())
        if -1 not in used and all(optional or i in used for i, (_, optional) in enumerate(entries)):
            return {name: (place, natural(name)) for name, place in found.items()}
    return {}


def _numbered(names: Iterable[str]) -> bool:
    return all(name.isdecimal() for name in names)


def _renamed(name: str, family: Family) -> str:
    for old, new in family.renames:
        if name.endswith(f".{old}"):
            return name.removesuffix(old) + new
    return name

"""What the tests of augmentation share: an augmentation as a spec writes it, and images."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnnspec
from cnnspec.arrays import Array
from cnnspec.data.augment import Augmentation, augmentation_for


def augmentation(
    augment: str, shape: tuple[int, ...], *, masks: int = 0, loss: str = "cross_entropy", seed: int = 0, more: str = ""
) -> Augmentation:
    """The augmentation of a classifier, or, with `masks`, of a network that labels each position with so many."""
    layers = f"conv: {{channels: {masks}, kernel: 1}}" if masks else "flatten, dense: 3"
    sizes = dict(zip(("channels", "length") if len(shape) == 2 else ("channels", "depth", "height", "width"), shape))  # noqa: B905
    given = list(shape) if len(shape) in (1, 3) else "{" + ", ".join(f"{k}: {v}" for k, v in sizes.items()) + "}"
    text = f"input: {given if not more else '{shape: ' + str(given) + ', ' + more + '}'}\n"
    text += f"layers: [{layers}]\ntrain: {{augment: {augment}, loss: {loss}, seed: {seed}}}\n"
    found = augmentation_for(cnnspec.loads(text))
    assert found is not None
    return found


def pixels(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def many(augment: str, image: Array, n: int = 1000, **options: Any) -> Array:
    """So many changes of one image: [n, ...]."""
    changed, _ = augmentation(augment, image.shape, **options)(
        np.repeat(image[None], n, 0), np.zeros(n, np.int64), np.arange(n)
    )
    return changed


def once(augment: str, image: Array, target: Any = 0, **options: Any) -> Any:
    """One change of an image and of its target."""
    changed, moved = augmentation(augment, image.shape, **options).one(image, np.asarray(target), 0)
    return (changed, moved) if np.ndim(target) else changed

"""Augmentation: random changes of training samples, and mixtures of them."""

from cnnspec.data.augment.mix import Mix, Mixing, mixing_of
from cnnspec.data.augment.pipeline import Augmentation, augmentation_for, augmentation_of

__all__ = ["Augmentation", "Mix", "Mixing", "augmentation_for", "augmentation_of", "mixing_of"]

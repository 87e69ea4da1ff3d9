"""Training settings: losses, optimizers, schedules, augmentation, and what a `train:` section holds."""

from cnnspec.graph.training.losses import (
    L1,
    LOSSES,
    AnyLoss,
    BinaryCrossEntropy,
    CrossEntropy,
    Dice,
    Huber,
    Loss,
    MeanSquaredError,
)
from cnnspec.graph.training.optimizers import OPTIMIZERS, Adam, AdamW, Lamb, Lion, Optimizer, RmsProp, Sgd
from cnnspec.graph.training.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Milestones,
    OneCycle,
    Plateau,
    Schedule,
    Step,
)
from cnnspec.graph.training.train import Augment, Clip, EarlyStopping, Train

__all__ = [
    "L1",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Adam",
    "AdamW",
    "AnyLoss",
    "Augment",
    "BinaryCrossEntropy",
    "Clip",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Dice",
    "EarlyStopping",
    "Huber",
    "Lamb",
    "Lion",
    "Loss",
    "MeanSquaredError",
    "Milestones",
    "OneCycle",
    "Optimizer",
    "Plateau",
    "RmsProp",
    "Schedule",
    "Sgd",
    "Step",
    "Train",
]  # fmt: skip

"""The documentation of training settings names fields that exist, and every field has a description."""

from __future__ import annotations

import inspect
import re

import pytest

from cnnspec.graph.settings import Expect, Input
from cnnspec.graph.training import LOSSES, OPTIMIZERS, SCHEDULES, TRANSFORMS, Train
from cnnspec.layers.reference import field_docs

SETTINGS = [*LOSSES.values(), *OPTIMIZERS.values(), *SCHEDULES.values(), *TRANSFORMS.values(), Expect, Input, Train]


@pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
def test_words_in_backticks_are_fields(cls: type) -> None:
    words = set(re.findall(r"`(\w+)`", inspect.getdoc(cls) or ""))
    assert words <= {*cls.model_fields, "check"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
def test_every_field_is_described(cls: type) -> None:
    assert field_docs(cls).keys() >= set(cls.model_fields)  # type: ignore[attr-defined]

"""Training settings from plain Python values."""

from __future__ import annotations

from typing import Any

import pytest

from cnnspec.diagnostics import SpecError
from cnnspec.graph.training import Sgd, Train
from cnnspec.language.train import train_settings


def test_plain_values_are_read_as_a_section_is():
    found = train_settings(
        {"optimizer": {"sgd": {"learning_rate": 0.5}}, "epochs": 3, "augment": {"flip": "horizontal"}}
    )
    assert (found.epochs, found.optimizer) == (3, Sgd(learning_rate=0.5))
    assert train_settings({}) == Train()


@pytest.mark.parametrize(
    ("values", "code", "message", "line"),
    [
        ({"epochs": 0}, "invalid-value", "`epochs` takes 1 or more, not 0", "1 | epochs=0"),
        ({"epochs": "many"}, "wrong-type", "`epochs` takes a whole number, not the text `many`", "1 | epochs='many'"),
        ({"seed": 1, "optimizer": {"sdg": 1}}, "invalid-value", "not `sdg`", "2 | optimizer={'sdg': 1}"),
        ({"epoch": 1}, "unknown-key", "`train` has no `epoch`", "1 | epoch=1"),
        ({"data": object}, "wrong-type", "`data`: a spec cannot hold a value of the type type", "1 | data=<class"),
        ({"optimizer": {1: 2}}, "wrong-type", "a key is text, not 1", "1 | optimizer={1: 2}"),
    ],
)
def test_values_that_are_not_valid(values: dict[str, Any], code: str, message: str, line: str):
    with pytest.raises(SpecError) as caught:
        train_settings(values)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert message in found.message
    assert line in str(caught.value)

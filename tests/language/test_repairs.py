"""Words and values that people write for others, and the fixes that are certain."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.diagnostics import Source
from cnnspec.language.calls import from_call
from cnnspec.language.suggestions import suggest
from cnnspec.wording import slip


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("covn", ["conv", "crop"], "conv"),
        ("flattten", ["flatten"], "flatten"),
        ("kernal", ["kernel"], "kernel"),
        ("chanels", ["channels"], "channels"),
        ("Encoder", ["encoder"], "encoder"),
        ("boxes", ["box"], "box"),
        ("enc4", ["enc1"], None),  # another number is another name
        ("xelu", ["relu", "selu"], None),
        ("ad", ["add", "and"], None),
        ("conv", ["dense"], None),
    ],
)
def test_a_slip_is_one_letter_and_one_word(word: str, known: list[str], meant: str | None) -> None:
    assert slip(word, known) == meant


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("nn.Conv2d", ["conv", "dense"], "conv"),
        ("tf.keras.layers.Dense", ["conv", "dense"], "dense"),
        ("maxPooling2dLayer", ["max_pool"], "max_pool"),
        ("Dropout2d", ["dropout", "spatial_dropout"], "spatial_dropout"),
        ("conv3", ["conv"], "conv"),
        ("celu6", ["celu", "relu6"], None),  # celu with a number, or relu6 with another letter
    ],
)
def test_what_is_certain_of_a_word(word: str, known: list[str], meant: str | None) -> None:
    assert suggest(word, known, certain=True) == meant


@pytest.mark.parametrize(
    ("call", "layer"),
    [
        ("nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)",
         "conv: {channels: 64, kernel: 3, padding: {each_side: 1}, bias: false}"),
        ("self.fc1 = nn.Linear(400, 120)", "dense: 120"),
        ("nn.MaxPool2d((2, 2))", "max_pool: [2, 2]"),
        ("nn.ReLU(inplace=True)", "relu"),
        ("Conv2D(32, (3, 3), activation='relu')", "conv: {channels: 32, kernel: [3, 3], activation: relu}"),
        ("Dense(10)", "dense: 10"),
        ("nn.Conv2d(c, 2 * c, 3)", None),
        ("nn.Conv2d(3, 64, 3, device='cuda')", None),
        ("make_layer(3)", None),
    ],
)  # fmt: skip
def test_a_call_is_a_layer_only_where_all_of_it_is_known(call: str, layer: str | None) -> None:
    assert from_call(call) == layer


def test_of_several_ways_to_read_a_text_none_is_certain() -> None:
    alone = cnnspec.check(Source("x", "input: [3, 8, 8]\nlayers:\n  - conv: {channels: 2, kernel: 1\n"))
    assert [fix.certain for d in alone.diagnostics for fix in d.fixes] == [True]
    several = cnnspec.check(Source("x", "input: [40, 101]\nlayers:\n  - conv: {channels: 2, kernel: 1}\n"))
    assert [fix.certain for d in several.diagnostics for fix in d.fixes] == [False, False]


def test_a_fix_of_a_word_may_uncover_an_error_elsewhere() -> None:
    text = "input: [1, 8, 8]\nlayers:\n  - maxxpoool: 2\n  - conv: {channels: 1, kernel: 9}\n"
    (found,) = cnnspec.check(Source("x", text)).diagnostics
    assert [(fix.edits[0].text, fix.certain) for fix in found.fixes] == [("max_pool", False)]


def test_everything_else_stays_to_the_byte() -> None:
    text = (
        "# mine\ninput: [1,  28, 28]   # grey\nlayers:\n  - nn.Conv2d(1, 6, 5)     # six\n"
        "  -relu\n  - dropout: {keep_prob: 0.8}\n  - flatten\n  - fc: 10\n"
    )
    assert cnnspec.fix(Source("x", text)).source.text == (
        "# mine\ninput: [1,  28, 28]   # grey\nlayers:\n  - conv: {channels: 6, kernel: 5}     # six\n"
        "  - relu\n  - dropout: {rate: 0.2}\n  - flatten\n  - dense: 10\n"
    )

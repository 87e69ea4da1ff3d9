"""`$name` and `$(width * 2)`: what they come to, what is wrong with them and where, and that they always end."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cnnspec.language.expressions import (
    LARGEST,
    LONGEST,
    UNRESOLVED,
    ExpressionError,
    UnresolvedValue,
    evaluate,
    has_reference,
)

VALUES = {
    "width": 8, "half": 0.5, "kind": "relu", "sizes": [3, 5], "on": True, "off": False, "zero": 0, "x1": 2,
    "lost": UNRESOLVED,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    {
        # the whole value, of whatever type
        "$width": 8, "$half": 0.5, "$kind": "relu", "$sizes": [3, 5], "$on": True, "$(sizes)": [3, 5], "$(on)": True,
        # arithmetic
        "$(1 + 2)": 3, "$(2 * 3 + 4)": 10, "$(2 + 3 * 4)": 14, "$((2 + 3) * 4)": 20, "$(10 - 4 - 3)": 3,
        "$(16 // 3)": 5, "$(-16 // 3)": -6, "$(16 % 3)": 1, "$(-1 % 3)": 2, "$(16 / 4 / 2)": 2.0, "$(7 // 2 * 2)": 6,
        "$(width / 2)": 4.0, "$(width // 2)": 4, "$(width * half)": 4.0, "$(-width)": -8, "$(--width)": 8,
        "$(+width)": 8, "$(- -2 + +3)": 5, "$(2*-3)": -6, "$( width )": 8, "$(width*2)": 16, "$(\twidth\n* 2)": 16,
        "$(1.5 + .5)": 2.0, "$(1e3)": 1000.0, "$(2.)": 2.0, "$(1e-3 * 1000)": 1.0, "$(012)": 12, "$(x1 + 1)": 3,
        "$(2 ** 3)": 8, "$(2 ** 3 ** 2)": 512, "$(-2 ** 2)": -4, "$((-2) ** 2)": 4, "$(2 ** -1)": 0.5,
        "$(width ** half)": 8**0.5,
        "$(2 * 3 ** 2)": 18, "$(1 ** 9223372036854775807)": 1, "$(2 ** 62)": 2**62, "$(zero ** 0)": 1,
        "$(1.5 ** 2)": 2.25,
        # functions
        "$(max(8, width + 1))": 9, "$(min(3, 1, 2))": 1, "$(max(1, 2.5))": 2.5, "$(int(width * 0.7))": 5,
        "$(int(-1.5))": -1,
        "$(round(2.6))": 3, "$(round(2.5))": 2, "$(int((width + 3) / 4) * 4)": 8, "$(max(1, min(width, 4)) ** 2)": 16,
        "$(9223372036854775806 + 1)": LARGEST, "$(0 - 9223372036854775807)": -LARGEST,
        # inside of text
        "conv$width": "conv8", "conv_$(width + 1)_a": "conv_9_a", "$width$width": "88", "$width.$half": "8.0.5",
        "a$(kind)b": "arelub", "is $on": "is true", "$off!": "false!", "$kind$(2)": "relu2", "$(1)$(2)": "12",
        # nothing to evaluate
        "": "", "plain": "plain", "(width)": "(width)", "1 + 1": "1 + 1",
    }.items(),
)  # fmt: skip
def test_values(text, value):
    found = evaluate(text, VALUES)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "part", "says"),
    [
        ("$widht", "$widht", "no parameter `widht`"),
        ("a $(2 * widht) b", "widht", "no parameter `widht`"),
        ("$(1 +)", ")", "a number or a name is missing"),
        ("$()", ")", "a number or a name is missing"),
        ("$(* 2)", "*", "a number or a name is missing"),
        ("$(2 ** 64)", "**", "too large"),
        ("$(3 ** 9223372036854775807)", "**", "too large"),
        ("$(9 ** 9 ** 9 ** 9)", "**", "too large"),
        ("$(2 ** 1e300)", "**", "too large"),
        ("$(1.5 ** 1e300)", "**", "too large"),
        ("$(zero ** -1)", "** -1", "divides by zero"),
        ("$((-2) ** half)", "**", "no such power"),
        ("$(kind ** 2)", "**", "takes numbers, not `relu`"),
        ("$(max(width))", "max", "takes two numbers or more, not 1"),
        ("$(int(width, 2))", "int", "takes one number, not 2"),
        ("$(round())", ")", "a number or a name is missing"),
        ("$(min(width, sizes))", "min", "takes numbers, not a list"),
        ("$(int(on))", "int", "takes numbers, not true or false"),
        ("$(int(1e300))", "int", "no number as large"),
        ("$(min(1, 2)", "$(min(1, 2)", "not closed"),
        ("$(min(1 2))", "2", "not closed"),
        ("$(max(1, 2,))", ")", "a number or a name is missing"),
        ("$(" + "max(1, " * 60 + "1" + ")" * 60 + ")", "1", "more than 50 deep"),
        ("$(1 2)", "2", "`2` cannot follow"),
        ("$(width sizes)", "sizes", "`sizes` cannot follow"),
        ("$(width", "$(width", "not closed"),
        ("x $((1 + 2)", "$((1 + 2)", "not closed"),
        ("$((1 + 2", "$((1 + 2", "not closed"),
        ("$(1 + 2))$", "$", "followed by a name"),
        ("$", "$", "followed by a name"),
        ("5$", "$", "followed by a name"),
        ("$5", "$", "followed by a name"),
        ("$$width", "$", "followed by a name"),
        ("$(width & 1)", "&", "`&` means nothing"),
        ("$(width ^ 2)", "^", "`^` means nothing"),
        ("$(width.real)", ".", "`.` means nothing"),
        ("$(width[0])", "[", "`[` means nothing"),
        ("$(f(1))", "f", "no function `f`: there are `int`, `max`, `min` and `round`"),
        ("$(width(1))", "width", "no function `width`"),
        ("$(width, 2)", ",", "`,` cannot follow"),
        ("$('a')", "'", "means nothing"),
        ("$(١ + 1)", "١", "means nothing"),
        ("$(width / 0)", "/ 0", "divides by zero"),
        ("$(width // zero)", "// zero", "divides by zero"),
        ("$(width % 0.0)", "% 0.0", "divides by zero"),
        ("$(kind + 1)", "+", "takes numbers, not `relu`"),
        ("$(sizes * 2)", "*", "takes numbers, not a list"),
        ("$(1 - on)", "-", "takes numbers, not true or false"),
        ("$(-kind)", "-", "takes a number"),
        ("$(-on)", "-", "takes a number"),
        ("sizes $sizes", "$sizes", "a list cannot stand inside of text"),
        ("$(sizes)x", "$(sizes)", "a list cannot stand inside of text"),
        ("$(9223372036854775807 + 1)", "+", "too large"),
        ("$(1e300 * 1e300)", "*", "too large"),
        ("$(1e999 - 1e999)", "-", "too large"),
        ("$(" + "(" * 60 + "1" + ")" * 60 + ")", "(", "more than 50 deep"),
        ("$(" + "-" * 60 + "1)", "-", "more than 50 deep"),
        ("$(" + "1" * 400 + ")", "1" * 400, "too long"),
    ],
)
def test_faults_and_their_places(text, part, says):
    with pytest.raises(ExpressionError, match=None) as caught:
        evaluate(text, VALUES)
    assert says in caught.value.message
    assert text[caught.value.start : caught.value.end] == part
    assert caught.value.code == ("unknown-param" if "no parameter" in says else "bad-expression")
    assert caught.value.unknown == (says.split("`")[1] if "no parameter" in says else None)


@pytest.mark.parametrize(
    "text",
    [
        "$lost",
        "$(lost * 2)",
        "$(-lost)",
        "$(2 - lost)",
        "a $lost b",
        "$(lost + kind)",
        "$(max(1, lost))",
        "$(lost ** 2)",
    ],
)
def test_what_needs_a_lost_value_is_lost(text):
    with pytest.raises(UnresolvedValue):
        evaluate(text, VALUES)


def test_a_fault_beside_a_lost_value_is_still_found():
    with pytest.raises(ExpressionError):
        evaluate("$(lost * widht)", VALUES)


def test_text_cannot_grow_without_bound():
    values = {"a": "x" * LONGEST}
    assert evaluate("$a", values) == values["a"]
    with pytest.raises(ExpressionError) as caught:
        evaluate("$a$a", values)
    assert "1,000 characters" in caught.value.message


def test_a_long_expression_is_no_deep_one():
    assert evaluate("$(" + " + ".join(["1"] * 20_000) + ")", {}) == 20_000


def test_only_a_dollar_makes_a_reference():
    assert has_reference("a $b")
    assert not has_reference("a (b)")


NUMBERS = st.integers(0, 20) | st.integers(0, 50).map(lambda tenths: tenths / 10)


def expressions() -> st.SearchStrategy[str]:
    """Expressions that mean the same in Python."""
    powers = st.tuples(st.integers(0, 9), st.integers(-1, 2)).map("{0[0]} ** {0[1]}".format)
    atoms = NUMBERS.map(str) | st.sampled_from(["width", "half"]) | powers
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join),
            inner.map("({})".format),
            inner.map("-{}".format),
            st.tuples(st.sampled_from(["int", "round"]), inner).map("{0[0]}({0[1]})".format),
            st.tuples(st.sampled_from(["min", "max"]), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format),
        ),
        max_leaves=8,
    )


@given(expressions())
@example("1 - - 2")
def test_arithmetic_is_that_of_python(text):
    try:
        expected = eval(text, {"width": VALUES["width"], "half": VALUES["half"]})
    except ZeroDivisionError:
        expected = None
    if expected is None:
        with pytest.raises(ExpressionError):
            evaluate(f"$({text})", VALUES)
    else:
        found = evaluate(f"$({text})", VALUES)
        assert found == expected
        assert type(found) is type(expected)


PIECES = st.lists(
    st.sampled_from([*"$()+-*/%, .5exa\n", "max(", "int(", "**", "$(", "width", "half", "kind", "sizes", "lost"]),
    max_size=20,
)


@given(PIECES.map("".join))
@example("$(1e309)")
@example("$(1e309)x")
def test_any_text_has_a_value_or_a_fault_within_it(text):
    try:
        value = evaluate(text, VALUES)
    except UnresolvedValue:
        value = "lost"
    except ExpressionError as error:
        start, end = error.start, error.end
        value = text[start:end]
        assert 0 <= start < end <= len(text), error.message  # noqa: PT017
    assert isinstance(value, str | int | float | bool | list)
    assert not isinstance(value, float) or not math.isnan(value)

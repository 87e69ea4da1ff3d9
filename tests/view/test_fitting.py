"""Tables on a narrow terminal: what gives way, in which order."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.view.fitting import Narrow, clipped, fitted, width_of
from cnnspec.view.table import table_lines
from cnnspec.wording import cells

COLUMNS = {"name": ["stage1.block2.conv1", "dense1"], "MACs": ["1,234", "5"], "about": ["a long description", "short"]}


def plain(text: str, role: str) -> str:
    return text


class TestOrder:
    def test_all_columns_where_they_fit(self) -> None:
        assert fitted(COLUMNS, 100, Narrow(drop=("MACs",))) == COLUMNS

    def test_columns_are_left_out_first(self) -> None:
        assert [*fitted(COLUMNS, 40, Narrow(drop=("MACs", "about")))] == ["name", "about"]

    def test_names_lose_their_beginning_and_texts_their_end(self) -> None:
        found = fitted(COLUMNS, 36, Narrow(names=("name",), texts=("about",)))
        assert found["name"][0].startswith("…")
        assert found["name"][0].endswith("conv1")
        assert found["about"][0].endswith("…")
        assert found["MACs"] == COLUMNS["MACs"]

    def test_numbers_are_never_cut(self) -> None:
        found = fitted({"name": ["a" * 30], "parameters": ["11,689,512"]}, 20, Narrow())
        assert found.get("parameters", ["11,689,512"]) == ["11,689,512"]


TEXTS = st.text(alphabet=string.ascii_letters + " …é卷", max_size=25)


@given(rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), width=st.integers(4, 60), data=st.data())
def test_no_line_is_wider(rows: list[tuple[str, str, str]], width: int, data: st.DataObject) -> None:
    columns = dict(zip(("name", "second", "about"), map(list, zip(*rows, strict=True)), strict=True))
    narrow = Narrow(data.draw(st.lists(st.sampled_from([*columns]), unique=True)), texts=("about",))
    assert width_of(fitted(columns, width, narrow)) <= width
    assert max(map(cells, table_lines(columns, plain, width=width, narrow=narrow))) <= width


@pytest.mark.parametrize(
    ("text", "width", "start", "expected"),
    [
        ("stage1.conv1", 12, True, "stage1.conv1"),
        ("stage1.conv1", 6, True, "…conv1"),
        ("a long text", 7, False, "a long…"),
        ("a long text", 3, False, "a…"),
        ("卷积层一", 5, False, "卷积…"),
        ("卷积层一", 4, True, "…一"),
    ],
)
def test_clipped(text: str, width: int, start: bool, expected: str) -> None:
    assert clipped(text, width, start=start) == expected

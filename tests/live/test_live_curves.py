"""The curves of a run, from its log alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cnnspec.errors import DataError
from cnnspec.live import pages
from cnnspec.live.curves import curves_of


def logged(folder: Path, *records: dict[str, Any]) -> Path:
    (folder / "run.json").write_text("{}")
    lines = [json.dumps({"epoch": i + 1, "step": 10 * i} | record) for i, record in enumerate(records)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_chart_of_each_metric_with_a_line_for_each_split(tmp_path: Path) -> None:
    record = {
        "learning_rate": 0.1,
        "loss": 2.0,
        "accuracy": 0.5,
        "validation_loss": 1.5,
        "validation_accuracy": 0.6,
        "seconds": 3.0,
    }
    found = curves_of(logged(tmp_path, record, record | {"loss": 1.0, "validation_accuracy": None}))
    assert found.state == "epoch 2"
    assert [(c.title, [s.name for s in c.series]) for c in found.charts] == [
        ("loss", ["training", "validation"]),
        ("accuracy", ["training", "validation"]),
        ("learning rate", ["training"]),
    ]
    loss, accuracy, _ = found.charts
    assert loss.about == "loss, epochs 1 to 2; latest: training 1, validation 1.5"
    assert accuracy.series[1].values == (0.6, None)
    first, last = (tuple(map(float, point.split(","))) for point in loss.lines[0][0].split())
    assert first[0] < last[0]
    assert first[1] < last[1], "y grows downwards, and the loss falls"


def test_lines_of_one_name_look_the_same_in_each_chart(tmp_path: Path) -> None:
    charts = curves_of(logged(tmp_path, {"loss": 1.0, "validation_loss": 1.0, "validation_macro_f1": 0.5})).charts
    assert [[(s.name, s.look) for s in chart.series] for chart in charts] == [
        [("training", 0), ("validation", 1)],
        [("validation", 1)],
    ]


def test_several_outputs(tmp_path: Path) -> None:
    outputs = {"main": {"accuracy": 0.5, "validation_accuracy": 0.4}, "aux": {"accuracy": 0.3}}
    found = curves_of(logged(tmp_path, {"loss": 1.0, "outputs": outputs}))
    assert [(c.title, [s.name for s in c.series]) for c in found.charts] == [
        ("loss", ["training"]),
        ("accuracy", ["main training", "main validation", "aux training"]),
    ]


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [5e-9, 4e-9], [-3.0, 1e6], [1.0, None, 3.0], [float("nan"), 2.0]]
)
def test_any_numbers_have_a_place_on_the_chart(tmp_path: Path, values: list[float | None]) -> None:
    (chart,) = curves_of(logged(tmp_path, *({"loss": value} for value in values))).charts
    for x, y in chart.markers[0]:
        assert 46 <= x <= 272
        assert 8 <= y <= 136
    assert len(chart.markers[0]) == sum(value is not None and value == value for value in values)
    assert 2 <= len(chart.y_ticks) <= 6
    assert [tick.at for tick in chart.y_ticks] == sorted((tick.at for tick in chart.y_ticks), reverse=True)


def test_a_gap_is_not_bridged(tmp_path: Path) -> None:
    (chart,) = curves_of(logged(tmp_path, *({"loss": value} for value in (4.0, 3.0, None, 2.0, 1.0)))).charts
    assert len(chart.lines[0]) == 2


def test_a_long_run(tmp_path: Path) -> None:
    (chart,) = curves_of(logged(tmp_path, *({"loss": 1 / (i + 1)} for i in range(1000)))).charts
    assert chart.markers == ((),)
    assert chart.lines[0][0].count(" ") + 1 == 500
    assert chart.series[0].latest == "0.001", "the last epoch is drawn"
    assert [tick.text for tick in chart.x_ticks] == ["2", "202", "402", "602", "802"]


def test_before_the_first_epoch(tmp_path: Path) -> None:
    assert "no run is there yet" in curves_of(tmp_path / "run").state
    (tmp_path / "run.json").write_text("{}")
    assert "its first epoch is not over yet" in curves_of(tmp_path).state


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    logged(tmp_path, {"loss": 2.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    assert curves_of(tmp_path).state == "epoch 1"


def test_a_log_that_is_none(tmp_path: Path) -> None:
    logged(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("{what}\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl is not what a run writes there"):
        curves_of(tmp_path)


def test_the_page_has_the_numbers_as_text(tmp_path: Path) -> None:
    html = pages.curves(curves_of(logged(tmp_path, {"loss": 2.0}, {"loss": 1.25})))
    assert 'aria-label="loss, epochs 1 to 2; latest: training 1.25"' in html
    assert "<b>1.25</b>" in html


def test_metrics_have_their_titles(tmp_path: Path) -> None:
    found = curves_of(logged(tmp_path, {"epoch": 1, "loss": 1.0, "top5_accuracy": 0.9, "macro_f1": 0.5}))
    assert [chart.title for chart in found.charts] == ["loss", "top-5 accuracy", "macro F1"]

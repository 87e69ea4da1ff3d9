"""`cnnspec predict`: files in, predictions out, in the form that the task has."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Cnnspec
from PIL import Image

import cnnspec as api
from cnnspec.training.prediction_files import palette
from cnnspec.weights import files

CLASSES = "{name: net, input: [1, 4, 4], classes: [cat, dog, bird], layers: [flatten, dense: 3]}"
LABELS = CLASSES.replace("dense: 3]", "dense: 3], train: {loss: binary_cross_entropy}")
NUMBERS = "{name: net, input: [1, 4, 4], layers: [flatten, dense: 2], train: {loss: l1}}"
MASK = "{name: net, input: [1, 4, 4], layers: [conv: {channels: 3, kernel: 1}], train: {loss: cross_entropy}}"
BINARY = "{name: net, input: [1, 4, 4], layers: [conv: {channels: 1, kernel: 1}], train: {loss: dice}}"
IMAGE = (
    "{name: net, input: {shape: [1, 4, 4], mean: 0.5, std: 0.25}, layers: [conv: {channels: 1, kernel: 1, weight: 1, "
    "bias: 0}], train: {loss: mean_squared_error}}"
)
TWO = (
    "{name: net, input: [1, 4, 4], outputs: [kind, size], layers: [flatten: {name: flat}, dense: {units: 2, "
    "name: kind}, concat: {a: [from: flat, dense: {units: 1, name: size}], b: [from: kind]}], "
    "train: {losses: {kind: cross_entropy, size: l1}}}"
)


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten images in a folder, which is the working directory's."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(folder / f"{i}.png")
    return folder


def spec(text: str) -> list[str]:
    """Write a spec and weights for it, and return the arguments that name both."""
    Path("net.yaml").write_text(text)
    model = api.build("net.yaml", seed=7)
    files.write(Path("w.safetensors"), model.state(), {})
    return ["net.yaml", "--weights", "w.safetensors"]


def outputs(names: list[str]) -> np.ndarray:
    """Return the outputs for images, straight from the model."""
    x = np.stack([np.asarray(Image.open(name), float)[None] / 255 for name in names])
    return np.asarray(api.build("net.yaml", weights="w.safetensors").predict(x))


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


NAMES = [f"pictures/{i}.png" for i in range(10)]


def test_classes_with_their_probabilities(cnnspec: Cnnspec) -> None:
    result = cnnspec("predict", *spec(CLASSES), "pictures", "--top", "2", "--batch", "3")
    head, *found = rows(result.stdout)
    assert head == ["file", "class", "probability", "class2", "probability2"]
    assert [row[0] for row in found] == NAMES
    for row, y in zip(found, outputs(NAMES), strict=True):
        p = np.exp(y) / np.exp(y).sum()
        first, second = np.argsort(-p)[:2]
        assert [row[1], row[3]] == [["cat", "dog", "bird"][first], ["cat", "dog", "bird"][second]]
        np.testing.assert_allclose([float(row[2]), float(row[4])], p[[first, second]], 1e-4)


def test_labels(cnnspec: Cnnspec) -> None:
    head, *found = rows(cnnspec("predict", *spec(LABELS), *NAMES).stdout)
    assert head == ["file", "cat", "dog", "bird", "labels"]
    for row, y in zip(found, outputs(NAMES), strict=True):
        p = 1 / (1 + np.exp(-y.astype(float)))
        np.testing.assert_allclose([float(cell) for cell in row[1:4]], p, 1e-4)
        assert row[4] == ";".join(name for name, one in zip(["cat", "dog", "bird"], p, strict=True) if one > 0.5)


def test_numbers_and_json_lines(cnnspec: Cnnspec) -> None:
    arguments = spec(NUMBERS)
    head, *found = rows(cnnspec("predict", *arguments, *NAMES).stdout)
    assert head == ["file", "0", "1"]
    np.testing.assert_allclose([[float(cell) for cell in row[1:]] for row in found], outputs(NAMES), 1e-6)
    lines = cnnspec("predict", *arguments, *NAMES, "--format", "jsonl").stdout.splitlines()
    np.testing.assert_allclose([json.loads(line)["output"] for line in lines], outputs(NAMES), 1e-6)


def test_several_outputs(cnnspec: Cnnspec) -> None:
    arguments = spec(TWO)
    head, *found = rows(cnnspec("predict", *arguments, "pictures").stdout)
    assert head == ["file", "kind.class", "kind.probability", "size.value"]
    assert len(found) == 10
    line = json.loads(cnnspec("predict", *arguments, NAMES[0], "--format", "jsonl").stdout)
    assert line["outputs"].keys() == {"kind", "size"}
    refused = cnnspec("predict", *arguments, "pictures", "-o", "out.npy")
    assert "holds one output" in refused.stderr


@pytest.mark.parametrize(("text", "channels"), [(MASK, 3), (BINARY, 1)])
def test_masks_are_pictures_of_class_indices(cnnspec: Cnnspec, text: str, channels: int) -> None:
    assert cnnspec("predict", *spec(text), "pictures", "-o", "masks").exit_code == 0
    for i, y in enumerate(outputs(NAMES)):
        image = Image.open(f"masks/{i}.png")
        assert image.mode == "P"
        expected = y.argmax(0) if channels > 1 else (y[0] > 0)
        assert np.array_equal(np.asarray(image), expected)
    colours = np.reshape(palette(), (256, 3))
    assert len(np.unique(colours[:20], axis=0)) == 20


def test_images_are_scaled_back_to_pixels(cnnspec: Cnnspec) -> None:
    """The network is the identity."""
    assert cnnspec("predict", *spec(IMAGE), "pictures", "-o", "out").exit_code == 0
    for name in NAMES:
        assert np.array_equal(np.asarray(Image.open(f"out/{Path(name).name}")), np.asarray(Image.open(name)))


def test_a_table_holds_no_maps(cnnspec: Cnnspec) -> None:
    result = cnnspec("predict", *spec(MASK), "pictures", "-o", "out.csv")
    assert result.exit_code == 1
    assert "a map is no row of a table" in result.stderr


@pytest.mark.parametrize("form", ["csv", "jsonl", "npy"])
def test_an_interrupted_file_is_continued(cnnspec: Cnnspec, form: str) -> None:
    arguments = [*spec(NUMBERS), "pictures"]
    assert cnnspec("predict", *arguments, "-o", f"whole.{form}").exit_code == 0
    whole = Path(f"whole.{form}").read_bytes()
    for cut in (0, 1, 40, len(whole) // 2, len(whole) - 1, len(whole)):
        Path(f"part.{form}").write_bytes(whole[:cut])
        if form == "npy" and 0 < cut < 128:
            continue
        result = cnnspec("predict", *arguments, "-o", f"part.{form}", "--resume")
        assert result.exit_code == 0, result.stderr
        names, numbers = parsed(Path(f"part.{form}"))
        assert names == NAMES
        np.testing.assert_allclose(numbers, parsed(Path(f"whole.{form}"))[1], 1e-5)


def parsed(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the files and the numbers of predictions; a .npy file has no names."""
    if path.suffix == ".npy":
        return NAMES, np.load(path)
    if path.suffix == ".csv":
        _, *found = rows(path.read_text())
        return [row[0] for row in found], np.array([row[1:] for row in found], float)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["file"] for line in lines], np.array([line["output"] for line in lines])


def test_an_interrupted_folder_is_continued(cnnspec: Cnnspec, pictures: Path) -> None:
    arguments = [*spec(MASK), "pictures", "-o", "masks"]
    assert cnnspec("predict", *arguments).exit_code == 0
    kept = Path("masks/3.png").stat().st_mtime_ns
    Path("masks/5.png").unlink()
    assert cnnspec("predict", *arguments).exit_code == 1
    result = cnnspec("predict", *arguments, "--resume")
    assert "1 new prediction in masks" in result.stderr
    assert Path("masks/5.png").exists()
    assert Path("masks/3.png").stat().st_mtime_ns == kept


def test_files_of_one_name_do_not_overwrite_each_other(cnnspec: Cnnspec) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(NAMES[0]).rename(f"{folder}/same.png") if folder == "a" else Path(NAMES[1]).rename(f"{folder}/same.png")
    assert cnnspec("predict", *spec(MASK), "a", "b", "-o", "masks").exit_code == 0
    assert sorted(path.name for path in Path("masks").iterdir()) == ["same-2.png", "same.png"]
    Path("masks/same-2.png").unlink()
    assert (
        "1 new"
        in cnnspec("predict", "net.yaml", "--weights", "w.safetensors", "a", "b", "-o", "masks", "--resume").stderr
    )


def test_other_files_are_not_continued(cnnspec: Cnnspec) -> None:
    arguments = spec(NUMBERS)
    cnnspec("predict", *arguments, *NAMES[:3], "-o", "out.csv")
    result = cnnspec("predict", *arguments, *NAMES[1:], "-o", "out.csv", "--resume")
    assert result.exit_code == 1
    assert "are of other files: `pictures/1.png` in place of `pictures/0.png`" in result.stderr
    assert "exists: remove it" in cnnspec("predict", *arguments, *NAMES, "-o", "out.csv").stderr


def test_broken_files(cnnspec: Cnnspec) -> None:
    arguments = spec(NUMBERS)
    content = Path(NAMES[4]).read_bytes()
    Path(NAMES[4]).write_bytes(content[: len(content) // 2])
    result = cnnspec("predict", *arguments, "pictures", "-o", "out.csv", "--batch", "2")
    assert result.exit_code == 1
    assert "`pictures/4.png` is not a complete image" in result.stderr
    assert len(Path("out.csv").read_text().splitlines()) == 5, "what was predicted before is there"
    result = cnnspec("predict", *arguments, "pictures", "-o", "out.csv", "--resume", "--skip-broken")
    assert "1 file skipped" in result.stderr
    assert [row[0] for row in rows(Path("out.csv").read_text())[1:]] == NAMES[:4] + NAMES[5:]


def test_names_from_a_list(cnnspec: Cnnspec) -> None:
    Path("list.txt").write_text("\n".join(NAMES[:2]) + "\n\n")
    assert len(rows(cnnspec("predict", *spec(NUMBERS), "--list", "list.txt").stdout)) == 3
    assert "cannot be read" in cnnspec("predict", *spec(NUMBERS), "--list", "none.txt").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give files, folders, or --list FILE"),
        (["empty"], "`empty` holds no .png"),
        (["pictures", "-o", "out.txt"], "ends in none of .csv"),
        (["pictures", "--resume"], "--resume continues a file"),
        (["pictures", "-o", "out.npy", "--format", "png"], "PNGs need a folder"),
    ],
)
def test_what_cannot_be(cnnspec: Cnnspec, arguments: list[str], said: str) -> None:
    Path("empty").mkdir()
    result = cnnspec("predict", *spec(NUMBERS), *arguments)
    assert result.exit_code != 0
    assert said in result.stderr


def test_weights_are_needed(cnnspec: Cnnspec) -> None:
    spec(NUMBERS)
    assert "--weights" in cnnspec("predict", "net.yaml", "pictures").stderr


def test_from_python() -> None:
    spec(CLASSES)
    found = list(api.predict("net.yaml", ["pictures"], weights="w.safetensors", batch=4))
    assert [one.source for one in found] == NAMES
    np.testing.assert_allclose([one.outputs["dense1"] for one in found], outputs(NAMES), 1e-6)

"""Tables of samples: CSV files, JSON lines and Parquet; parts, columns, and what can be wrong with a cell."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from file_samples import PIL, cut, everything, message, network, picture, pixels

from cnnspec.data import open_dataset, parquet


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(6):
        picture(f"data/images/{i}.png", pixels(4, 5, 3, seed=i))


def csv(text, name="labels.csv"):
    path = Path("data") / name
    path.write_text(text.strip() + "\n", "utf-8")
    return str(path)


def lines(rows, name="labels.jsonl"):
    return csv("\n".join(map(json.dumps, rows)), name)


CLASSES = "flatten, dense: 2"
PETS = "classes: [dog, cat]"


def targets(source, spec, part="train"):
    return everything(getattr(open_dataset(source, spec), part))[1].tolist()


# Classes


@pytest.mark.parametrize("name", ["path", "file", "filename", "file_name", "image", "Image"])
def test_paths_are_relative_to_the_table(name):
    source = csv(f"{name},label\nimages/2.png,dog\nimages/0.png,cat")
    dataset = open_dataset(source, network(CLASSES))
    x, target = everything(dataset.train)
    assert np.array_equal(x[0], (pixels(4, 5, 3, seed=2) / 255).transpose(2, 0, 1).astype(np.float32))
    assert target.tolist() == [1, 0]
    assert dataset.classes == ("cat", "dog")


def test_classes_have_the_order_of_the_spec_and_may_be_indices():
    names = csv("path,label\nimages/2.png,dog\nimages/0.png,cat")
    indices = csv("path;species\nimages/2.png;1\nimages/0.png;0", "indices.csv")
    assert targets(names, network(CLASSES, more=PETS)) == [0, 1]
    assert targets(indices, network(CLASSES, more=PETS)) == [1, 0]
    assert targets(lines([{"file": "images/2.png", "label": 1}]), network(CLASSES)) == [1]


def test_numerals_that_are_names_of_classes_are_names():
    source = csv("path,label\nimages/2.png,9\nimages/0.png,4")
    assert targets(source, network(CLASSES, more='classes: ["9", "4"]')) == [0, 1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("images/1.png,", "`label` is empty: give the class, or remove the row"),
        ("images/1.png,dgo", "`label` is `dgo`, which is none of the 2 classes: did you mean `dog`?"),
        ("images/1.png,bird", "`label` is `bird`, which is none of the 2 classes: they are `dog` and `cat`"),
        ("images/1.png", "1 cells, and the header has 2 columns: put cells that hold `,` into quotes"),
        (",cat", "`path` is empty, and not the path of an image"),
        ('"images/1.png,cat', "unexpected end of data: check the quotes there"),
    ],
)
def test_faulty_rows_are_named_by_their_line(row, said):
    source = csv(f"path,label\nimages/2.png,dog\n\n{row}")
    assert message(source, network(CLASSES, more=PETS)) == f"`data/labels.csv`, line 4: {said}"


def test_a_class_that_the_network_does_not_have():
    source = csv("path,label\nimages/2.png,0\nimages/0.png,7")
    assert message(source, network(CLASSES)).startswith(
        "`data/labels.csv`, line 3: the class is 7, and the classes of `net` are 0 to 1"
    )
    source = csv("path,label\nimages/2.png,a\nimages/0.png,b\nimages/0.png,c")
    assert "has 3 classes, and `net` has 2 outputs: end it with `dense: 3`" in message(source, network(CLASSES))


def test_a_class_without_samples_is_noted():
    dataset = open_dataset(csv("path,label\nimages/2.png,dog"), network(CLASSES, more=PETS))
    assert dataset.notes == ("no sample of the training data has the class `cat`",)


def test_a_missing_file_is_named():
    source = csv("path,label\nimages/2.png,dog\nimages/22.png,cat")
    assert message(source, network(CLASSES)) == "`data/images/22.png` cannot be read: No such file or directory"
    dataset = open_dataset(source, network(CLASSES), skip_broken=True)
    assert (dataset.train.n, dataset.skipped) == (1, {"train": 1})


# Columns


def test_columns_that_are_not_called_as_usual():
    source = csv("photo,id,species\nimages/2.png,7,dog\nimages/0.png,8,cat")
    named = "columns: {image: photo, target: species}"
    assert targets(source, network(CLASSES, train=named)) == [1, 0]
    assert message(source, network(CLASSES)) == (
        "`data/labels.csv` has the columns `photo`, `id` and `species`; which one holds the paths of the images? Say "
        "so in `train:` with `columns: {image: …}`"
    )
    assert message(source, network(CLASSES, train="columns: {image: photo}")) == (
        "`data/labels.csv` has the columns `id` and `species`; which one holds the targets? Say so in `train:` with "
        "`columns: {target: …}`"
    )
    assert message(source, network(CLASSES, train="columns: {image: photos, target: species}")) == (
        "`data/labels.csv` has no column `photos`: did you mean `photo`?"
    )
    assert message(source, network(CLASSES, train="columns: {image: photo, target: x}")) == (
        "`data/labels.csv` has no column `x`: it has `id` and `species`"
    )


def test_a_table_that_is_none():
    network_of = network(CLASSES)
    assert message(csv("path,label"), network_of) == "`data/labels.csv` holds no samples"
    assert "the column `label` is there twice: rename one" in message(csv("path,label,label\na,b,c"), network_of)
    Path("data/labels.csv").write_bytes(b"path,label\n\xff,1\n")
    assert "is not text in UTF-8" in message("data/labels.csv", network_of)
    assert message(csv('{"path": 1', "x.jsonl"), network_of).startswith("`data/x.jsonl`, line 1: is no JSON: ")
    assert "line 2: is a list of 1, and not a mapping" in message(csv('{"path": "a"}\n[1]', "x.jsonl"), network_of)
    assert "`path` is 3, and not the path of an image" in message(lines([{"path": 3, "label": 1}]), network_of)


# Numbers


NUMBERS = "loss: mean_squared_error"


def test_numbers_of_several_columns():
    source = csv("path,x,y\nimages/2.png,0.5,1e2\nimages/0.png,-3,4")
    assert targets(source, network(CLASSES, train=NUMBERS)) == [[0.5, 100], [-3, 4]]
    one = network("flatten, dense: 1", train=f"{NUMBERS}, columns: {{target: y}}")
    assert targets(source, one) == [[100], [4]]
    by_output = network("flatten, dense: {units: 2, name: at}", train=f"{NUMBERS}, targets: {{at: [y, x]}}")
    assert targets(source, by_output) == [[100, 0.5], [4, -3]]
    assert targets(lines([{"path": "images/1.png", "at": [1, 2.5]}]), network(CLASSES, train=NUMBERS)) == [[1, 2.5]]


def test_targets_of_several_outputs():
    source = csv("path,kind,x,y\nimages/2.png,dog,1,2\nimages/0.png,cat,3,4")
    spec = network(
        "flatten, dense: {units: 2, name: label}, from: flatten1, dense: {units: 2, name: at}",
        train="losses: {label: cross_entropy, at: l1}, targets: {label: kind, at: [x, y]}",
        more="outputs: [label, at]",
    )
    found = everything(open_dataset(source, spec).train)[1]
    assert found["label"].tolist() == [1, 0]
    assert found["at"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "is empty: give a finite number, with a point before the decimals"),
        ("1O", "is the text `1O`: give a finite number"),
        ("nan", "is the text `nan`: give a finite number"),
        ('"1,5"', "is the text `1,5`: give a finite number, with a point before the decimals"),
    ],
)
def test_a_number_that_is_none(cell, said):
    source = csv(f"path,x,y\nimages/2.png,1,2\nimages/0.png,3,{cell}")
    found = message(source, network(CLASSES, train=NUMBERS))
    assert found.startswith(f"`data/labels.csv`, line 3: `y` {said}")


def test_more_numbers_than_outputs():
    source = csv("path,x,y\nimages/2.png,1,2")
    spec = network("flatten, dense: 3", train=f"{NUMBERS}, columns: {{target: [x, y]}}")
    assert "has 2 targets for each sample, and the output has 3" in message(source, spec)


# Labels


LABELS = "loss: binary_cross_entropy"


@pytest.mark.parametrize(
    ("first", "second"), [("red;round", "flat"), ("red|round", "flat"), ("red round", "flat"), ("round; red", "flat;")]
)
def test_labels_in_one_column(first, second):
    source = csv(f"path,tags\nimages/2.png,{first}\nimages/0.png,\nimages/1.png,{second}")
    spec = network("flatten, dense: 3", train=LABELS)
    assert targets(source, spec) == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]  # flat, red, round
    ordered = network("flatten, dense: 3", train=LABELS, more="classes: [red, round, flat]")
    assert targets(source, ordered) == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_labels_in_several_columns_and_in_lists():
    source = csv("path,red,round\nimages/2.png,1,0\nimages/0.png,1,1")
    assert targets(source, network(CLASSES, train=LABELS)) == [[1, 0], [1, 1]]
    assert targets(source, network(CLASSES, train=LABELS, more="classes: [round, red]")) == [[0, 1], [1, 1]]
    source = lines([{"path": "images/1.png", "tags": ["a", "b"]}, {"path": "images/1.png", "tags": []}])
    assert targets(source, network(CLASSES, train=LABELS)) == [[1, 1], [0, 0]]


def test_two_classes_for_one_number():
    source = csv("path,label\nimages/2.png,yes\nimages/0.png,no")
    assert targets(source, network("flatten, dense: 1", train=LABELS)) == [[1], [0]]
    source = csv("path,label\nimages/2.png,1\nimages/0.png,0")
    assert targets(source, network("flatten, dense: 1", train=LABELS)) == [[1], [0]]


def test_labels_that_are_none():
    source = csv("path,red,round\nimages/2.png,1,0\nimages/0.png,1,2")
    assert message(source, network(CLASSES, train=LABELS)) == (
        "`data/labels.csv`, line 3: `round` is the text `2`: a label is 0 or 1"
    )
    source = csv("path,tags\nimages/2.png,red;rund")
    said = message(source, network(CLASSES, train=LABELS, more="classes: [red, round]"))
    assert said == "`data/labels.csv`, line 2: `tags` is `rund`, which is none of the 2 classes: did you mean `round`?"


# Masks and parts


def test_a_column_of_masks():
    mask = np.arange(20, dtype=np.uint8).reshape(4, 5) % 3
    picture("data/masks/m.png", mask)
    source = csv("image,mask\nimages/2.png,masks/m.png")
    found = everything(open_dataset(source, network("conv: {channels: 3, kernel: 1}")).train)[1]
    assert np.array_equal(found, mask[None])


def test_parts_by_a_column():
    rows = "".join(
        f"images/{i}.png,{i % 2},{part}\n" for i, part in enumerate(("train", "train", "test", "val", "Test"))
    )
    dataset = open_dataset(csv(f"path,label,split\n{rows}"), network(CLASSES))
    assert (dataset.train.n, dataset.validation.n, dataset.test.n) == (2, 1, 2)
    assert everything(dataset.test)[1].tolist() == [0, 0]
    assert message(csv("path,label,split\nimages/0.png,1,train\nimages/0.png,1,rest"), network(CLASSES)) == (
        "`data/labels.csv`, line 3: `split` is `rest`, which is no part: it is one of `train`, `test`, `validation`"
    )
    assert "no samples with `train` in its column `split`" in message(
        csv("path,label,split\nimages/0.png,1,test"), network(CLASSES)
    )


def test_parts_by_file():
    csv("path,label\nimages/0.png,a\nimages/1.png,b", "train.csv")
    csv("path,label\nimages/2.png,b", "test.csv")
    dataset = open_dataset("data", network(CLASSES))
    assert (dataset.train.n, dataset.test.n) == (2, 1)
    assert everything(dataset.test)[1].tolist() == [1]
    csv("path,label\nimages/2.png,c", "test.csv")
    assert message("data", network(CLASSES)) == (
        "`data/test.csv`, line 2: `label` is `c`, which is none of the 2 classes: they are `a` and `b`"
    )


# Parquet


def encoded(seed):
    stream = io.BytesIO()
    PIL.fromarray(pixels(4, 5, 3, seed=seed)).save(stream, "png")
    return {"bytes": stream.getvalue(), "path": f"{seed}.png"}


def write_parquet(path, seeds, labels, names=("cat", "dog"), rows=2):
    """Write a table as Hugging Face's `datasets` does."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([None if seed is None else encoded(seed) for seed in seeds], kind)
    table = pa.table({"image": images, "label": labels})
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_table(table, path, row_group_size=rows)


def test_parquet_is_read_by_row_groups(monkeypatch):
    write_parquet("hub/data/train-00000-of-00002.parquet", range(5), [0, 1, 1, 0, 1])
    write_parquet("hub/data/train-00001-of-00002.parquet", range(5, 8), [1, 1, 0])
    write_parquet("hub/data/test-00000-of-00001.parquet", [9], [1])
    monkeypatch.setattr(parquet, "KEPT_BYTES", 1)
    dataset = open_dataset("hub", network(CLASSES))
    assert (dataset.train.n, dataset.test.n, dataset.classes) == (8, 1, ("cat", "dog"))
    order = np.array([7, 0, 4, 5, 1, 6, 2, 3])
    x, target = dataset.train.load(order)
    assert target.tolist() == [0, 0, 1, 1, 1, 1, 1, 0]
    for one, seed in zip(x, order, strict=True):
        assert np.array_equal(one, (pixels(4, 5, 3, seed=seed) / 255).transpose(2, 0, 1).astype(np.float32))
    assert len(dataset.train.pictures._kept) == 1


def test_classes_of_parquet_follow_the_spec():
    write_parquet("pets.parquet", range(3), [0, 1, 1])
    assert targets("pets.parquet", network(CLASSES, more=PETS)) == [1, 0, 0]
    write_parquet("pets.parquet", range(3), ["a", "b", "a"], names=())
    assert targets("pets.parquet", network(CLASSES)) == [0, 1, 0]


def test_faulty_parquet():
    write_parquet("pets.parquet", [0, None, 2], [0, 1, 1])
    assert message("pets.parquet", network(CLASSES)) == "`pets.parquet, row 1` has no bytes in its column `image`"
    write_parquet("pets.parquet", range(3), [0, -1, 1])
    assert message("pets.parquet", network(CLASSES)) == (
        "`pets.parquet, row 1`: `label` is -1: the classes are 0 to 1, `cat` and `dog`"
    )
    cut("pets.parquet")
    assert "`pets.parquet` is no Parquet file that can be read" in message("pets.parquet", network(CLASSES))
    Path("hub").mkdir()
    write_parquet("hub/test.parquet", [0], [0])
    assert message("hub", network(CLASSES)) == "`hub` has no `*train*.parquet`"


def test_without_pyarrow_the_message_says_how_to_get_it(monkeypatch):
    import sys

    Path("pets.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert 'need pyarrow, which is not installed: pip install "cnnspec[parquet]"' in message(
        "pets.parquet", network(CLASSES)
    )

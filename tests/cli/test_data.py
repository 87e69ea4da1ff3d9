"""`cnnspec data`: what a dataset holds, without a spec; and training on every kind of files."""

import json
from pathlib import Path

import numpy as np
import pytest

PIL = pytest.importorskip("PIL.Image")


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(path, array):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.fromarray(array).save(path)
    return array


def pets(counts=(("cat", 2), ("dog", 3)), root="pets/train", size=(6, 5)):
    made = {}
    for name, count in counts:
        for i in range(count):
            made[f"{root}/{name}/{i}.png"] = picture(f"{root}/{name}/{i}.png", pixels(*size, 3, seed=len(made)))
    return np.stack(list(made.values()))


def described(cnnspec, source, *options, exit_code=0):
    result = cnnspec("data", source, *options, "--format", "json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def test_counts_sizes_and_colours(cnnspec):
    x = pets()
    found = described(cnnspec, "pets")
    train = found["parts"]["train"]
    assert train["columns"]["class"] == {"kind": "classes", "counts": {"cat": 2, "dog": 3}}
    assert train["sizes"] == [{"size": [6, 5], "images": 5}]
    assert train["channels"]["3"]["mean"] == pytest.approx(x.mean(axis=(0, 1, 2)))
    assert train["channels"]["3"]["std"] == pytest.approx(x.std(axis=(0, 1, 2)))
    assert (train["broken"], train["duplicates"]) == ([], [])
    assert found["input"]["shape"] == [3, 6, 5]
    assert found["input"]["mean"] == pytest.approx((x / 255).mean(axis=(0, 1, 2)), rel=1e-3)


def test_what_is_to_be_pasted_is_a_spec(cnnspec):
    pets()
    picture("pets/train/cat/large.png", pixels(9, 9, 3))
    text = cnnspec("data", "pets").stdout
    given = next(line for line in text.splitlines() if line.startswith("input: "))
    Path("net.yaml").write_text(f"name: net\n{given}\nlayers: [flatten, dense: 2]\n")
    assert cnnspec("train", "net.yaml", "--data", "pets", "--epochs", "1", "--out", "run").exit_code == 0
    assert "2 sizes from 6×5 to 9×9 (height × width); 5 images are 6×5" in text


def test_broken_files_and_duplicates_are_named(cnnspec):
    pets()
    same = pets(root="pets/test")[0]
    picture("pets/train/dog/copy.png", same)
    path = Path("pets/test/dog/2.png")
    path.write_bytes(path.read_bytes()[:60])
    found = described(cnnspec, "pets", exit_code=1)
    (broken,) = found["parts"]["test"]["broken"]
    assert broken.startswith("`pets/test/dog/2.png` is not a complete image")
    assert found["parts"]["train"]["duplicates"] == [["pets/train/cat/0.png", "pets/train/dog/copy.png"]]
    assert ["pets/train/cat/0.png", "pets/test/cat/0.png"] in found["shared"]["train and test"]
    assert len(found["shared"]["train and test"]) == 4
    text = cnnspec("data", "pets").stdout
    assert "4 images are in train and in test" in text
    assert "1 broken files" in text


def test_imbalance_and_classes_without_samples_are_said(cnnspec):
    pets((("cat", 20), ("dog", 1)))
    pets((("cat", 1),), root="pets/test")
    text = cnnspec("data", "pets").stdout
    assert "train is imbalanced: the largest class has 20 times as many samples as the smallest" in text
    assert "test has no sample of dog" in text


def test_masks_are_counted_and_compared_with_their_images(cnnspec):
    for i in range(3):
        picture(f"shapes/images/{i}.png", pixels(4, 5, 3, seed=i))
        picture(f"shapes/masks/{i}.png", np.full((4, 5), i, np.uint8))
    assert described(cnnspec, "shapes")["parts"]["train"]["masks"] == {"mask": {"0": 20, "1": 20, "2": 20}}
    picture("shapes/masks/1.png", np.zeros((5, 4), np.uint8))
    (fault,) = described(cnnspec, "shapes", exit_code=1)["parts"]["train"]["faults"]
    assert fault.startswith("the mask `shapes/masks/1.png` is 5×4, and its image `shapes/images/1.png` is 4×5")


def test_tables_and_arrays(cnnspec):
    for i in range(4):
        picture(f"{i}.png", pixels(4, 5, seed=i))
    Path("t.csv").write_text("file,tags,x\n0.png,a;b,0.5\n1.png,b,1\n2.png,,2\n3.png,a;b,3\n")
    columns = described(cnnspec, "t.csv")["parts"]["train"]["columns"]
    assert columns["tags"] == {"kind": "labels", "counts": {"a": 2, "b": 3}, "empty": 1}
    assert columns["x"] == {"kind": "numbers", "smallest": 0.5, "mean": 1.625, "largest": 3.0}
    Path("t.csv").write_text("photo,label\n0.png,a\n")
    assert described(cnnspec, "t.csv", "--columns", "{image: photo}")["parts"]["train"]["samples"] == 1
    result = cnnspec("data", "t.csv")
    assert result.exit_code == 1
    assert "which one holds the paths of the images?" in result.stderr
    x = pixels(10, 4, 4)
    np.savez("d.npz", x=x, y=np.arange(10) % 2)
    found = described(cnnspec, "d.npz")
    assert found["parts"]["train"]["columns"]["target"]["counts"] == {"0": 5, "1": 5}
    assert found["input"]["std"] == pytest.approx([x.std() / 255], rel=1e-3)
    np.savez("d.npz", x=x / 255, y=np.arange(10) % 2)
    assert described(cnnspec, "d.npz")["input"] is None


def test_what_is_no_dataset(cnnspec):
    result = cnnspec("data", "nothing")
    assert result.exit_code == 1
    assert "there is no data `nothing`: it is a directory" in result.stderr
    assert "Traceback" not in result.stderr


# Training on every kind

NET = "name: net\ninput: [3, 6, 5]\nlayers: [{layers}]\ntrain: {{{train}, epochs: 1, batch: 2}}\n"


@pytest.mark.parametrize("workers", [0, 1])
def test_training_on_every_kind(cnnspec, workers):
    pets()
    pets(root="pets/test")
    for part in ("images", "inputs", "targets"):
        for i in range(4):
            picture(f"{'maps' if part == 'images' else 'pairs'}/{part}/{i}.png", pixels(6, 5, 3, seed=i))
            picture(f"maps/masks/{i}.png", pixels(6, 5, seed=i) % 2)
    Path("labels.csv").write_text(
        "path,label,x,y\n" + "".join(f"maps/images/{i}.png,{'ab'[i % 2]},{i},{i / 2}\n" for i in range(4))
    )
    same = "conv: {channels: 3, kernel: 1}"
    kinds = {
        "pets": ("flatten, dense: 2", "data: pets"),
        "maps": ("conv: {channels: 2, kernel: 1}", "data: maps, loss: dice"),
        "pairs": (same, "data: pairs, loss: l1"),
        "auto": (same, "data: maps/images, target: input, loss: mean_squared_error"),
        "classes": ("flatten, dense: 2", "data: labels.csv, columns: {target: label}"),
        "numbers": ("flatten, dense: 2", "data: labels.csv, columns: {target: [x, y]}, loss: huber"),
        "labels": ("flatten, dense: 2", "data: labels.csv, columns: {target: label}, loss: binary_cross_entropy"),
    }
    for name, (layers, train) in kinds.items():
        Path(f"{name}.yaml").write_text(NET.format(layers=layers, train=train))
        result = cnnspec("train", f"{name}.yaml", "--out", f"runs/{name}", "--workers", workers)
        assert result.exit_code == 0, result.output
        found = json.loads(Path("runs", name, "metrics.jsonl").read_text().splitlines()[-1])
        assert np.isfinite(found["loss"])
        more = cnnspec("train", "--resume", f"runs/{name}", "--epochs", "2", "--workers", workers)
        assert more.exit_code == 0, more.output
        done = cnnspec("evaluate", f"runs/{name}", "--split", "train", "--workers", workers)
        assert done.exit_code == 0, done.output


def test_broken_files_are_errors_or_counted(cnnspec):
    pets()
    path = Path("pets/train/dog/2.png")
    path.write_bytes(path.read_bytes()[:60])
    Path("net.yaml").write_text(NET.format(layers="flatten, dense: 2", train="data: pets"))
    for workers in ("0", "1"):
        result = cnnspec("train", "net.yaml", "--out", f"no{workers}", "--workers", workers)
        assert result.exit_code == 1
        assert "error: `pets/train/dog/2.png` is not a complete image" in result.stderr
    result = cnnspec("train", "net.yaml", "--out", "run", "--skip-broken")
    assert "note: skipped 1 of 5 samples (train): `pets/train/dog/2.png` is not a complete image" in result.stdout
    assert "4 samples" in result.stdout
    (record,) = map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
    assert record["skipped"] == {"train": 1}
    assert cnnspec("train", "--resume", "run", "--epochs", "2").exit_code == 0
    result = cnnspec("evaluate", "run", "--split", "train")
    assert result.exit_code == 0
    assert "4 samples" in result.stdout

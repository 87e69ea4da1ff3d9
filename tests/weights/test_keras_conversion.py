"""Weights files of Keras: bit-equal there and back in three formats, and clear errors for files that do not fit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph
from cnnspec.interop.source.keras_weights import keras_model
from cnnspec.testing.cases import CASES
from cnnspec.weights import files
from cnnspec.weights.initial import initial
from cnnspec.weights.keras_conversion import convert

h5py = pytest.importorskip("h5py", reason="the extra `keras` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FORMATS = ["net.keras", "net.weights.h5", "net.h5"]
NETWORK = """
name: small
input: [2, 6, 5]
layers:
  - conv: {channels: 3, kernel: 3, norm: batch_norm}
  - attention: {name: look, heads: 3}
  - flatten
  - dense: {name: out, units: 2}
"""


def weights_of(graph: Graph) -> Arrays:
    return {name: array.astype(np.float32) for name, array in initial(graph, 3).items()}


def saved(model: Any, path: Path) -> Path:
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return path


@pytest.fixture
def small(keras: Any, tmp_path: Path) -> Path:
    graph = cnnspec.loads(NETWORK).graph
    return saved(keras_model(cnnspec.loads(NETWORK), weights_of(graph)), tmp_path / "small.weights.h5")


@pytest.mark.parametrize("kind", sorted({case.kind for case in CASES if case.graph().parameters}))
def test_every_layout_there_and_back(kind: str, keras: Any, tmp_path: Path) -> None:
    for case in (case for case in CASES if case.kind == kind and case.graph().parameters):
        if case.name == "attention-no-output-bias":  # which Keras has no layer for
            continue
        path = saved(keras_model(case.loaded(), case.weights()), tmp_path / "net.weights.h5")
        found = convert(case.graph(), path).arrays
        for name, array in case.weights().items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("network", ["lenet", "mobilenet_v2", "vit_tiny"])
@pytest.mark.filterwarnings("ignore:.*HDF5")
def test_networks_there_and_back(network: str, name: str, keras: Any, tmp_path: Path) -> None:
    spec = cnnspec.load(network)
    arrays = weights_of(spec.graph)
    found = convert(spec.graph, saved(keras_model(spec, arrays), tmp_path / name))
    assert found.arrays.keys() == arrays.keys()
    for key, array in arrays.items():
        assert found.arrays[key].dtype == np.float32
        np.testing.assert_array_equal(found.arrays[key], array)


def test_the_state_of_an_optimizer_is_left_out(keras: Any, tmp_path: Path) -> None:
    spec = cnnspec.loads("input: [3]\nlayers: [dense: 2, dropout: 0.5]\n")
    model = keras_model(spec, weights_of(spec.graph))
    model.compile(optimizer="adam", loss="mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    found = convert(spec.graph, saved(model, tmp_path / "trained.keras")).arrays
    np.testing.assert_array_equal(found["dense1.weight"].T, model.get_layer("dense1").get_weights()[0])


def test_names_from_the_configuration(small: Path, keras: Any, tmp_path: Path) -> None:
    """Older versions of Keras do not write the names of layers into the weights."""
    spec = cnnspec.loads(NETWORK)
    arrays = weights_of(spec.graph)
    path = saved(keras_model(spec, arrays), tmp_path / "new.keras")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "content")
    for file in (small, tmp_path / "content" / "model.weights.h5"):
        with h5py.File(file, "r+") as held:
            held.visititems(lambda _, group: group.attrs.pop("name", None))
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        for file in (tmp_path / "content").iterdir():
            archive.write(file, file.name)
    found = convert(spec.graph, tmp_path / "old.keras").arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(WeightsError, match=r"what its layers are called.*save the whole model as `\.keras`"):
        convert(spec.graph, small)


def test_all_faults_are_listed(small: Path) -> None:
    text = NETWORK.replace("channels: 3, kernel: 3", "channels: 6, kernel: 3, bias: true").replace("out", "last")
    with pytest.raises(WeightsError) as error:
        convert(cnnspec.loads(text).graph, small)
    message = str(error.value)
    assert "does not fit the network `small`" in message
    assert "conv1: expected 3×3×2×6 and 6, found 3×3×2×3" in message
    assert "batch_norm1/gamma: expected 6, found 3" in message
    assert "look/query/kernel: expected 6×3×2, found 3×3×1" in message
    assert "last: expected 72×2 and 2, found nothing" in message
    assert "out: found 36×2 and 2, and the network has no such layer" in message


def test_layers_can_be_renamed_and_left_out(small: Path) -> None:
    graph = cnnspec.loads(NETWORK.replace("out", "last")).graph
    found = convert(graph, small, rename=[("out", "last")])
    assert [pair.source for pair in found.pairs if pair.renamed] == ["out/kernel", "out/bias"]
    with pytest.raises(WeightsError, match="--ignore nothing"):
        convert(graph, small, ignore=["nothing"])


class TestFilesThatAreNone:
    def check(self, path: Path, match: str) -> None:
        with pytest.raises(WeightsError, match=match):
            convert(cnnspec.loads(NETWORK).graph, path)

    def test_missing(self, tmp_path: Path) -> None:
        self.check(tmp_path / "no.keras", "there is no file")
        (tmp_path / "folder.h5").mkdir()
        self.check(tmp_path / "folder.h5", "is a directory")

    @pytest.mark.parametrize("name", ["a.keras", "a.h5", "a.weights.h5"])
    def test_something_else(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"no weights at all" * 100)
        self.check(tmp_path / name, "is cut short, or no")

    def test_cut_short(self, small: Path, tmp_path: Path) -> None:
        content = small.read_bytes()
        for i, size in enumerate(range(1, len(content) - 1, len(content) // 9)):
            path = tmp_path / f"cut{i}.h5"
            path.write_bytes(content[:size])
            self.check(path, "is cut short")

    def test_an_archive_without_weights(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
            archive.writestr("config.json", "{}")
        self.check(tmp_path / "a.keras", r"it has no `model\.weights\.h5`")

    def test_numbers_of_another_file(self, small: Path, tmp_path: Path) -> None:
        """A link out of the file is not followed, and neither is an array that lies elsewhere."""
        place = "layers/dense/vars/0"
        linked, external = (shutil.copy(small, tmp_path / name) for name in ("linked.h5", "external.h5"))
        (tmp_path / "secret").write_bytes(bytes(4 * 72))
        with h5py.File(linked, "r+") as file:
            del file[place]
            file[place] = h5py.ExternalLink(str(small), place)
        self.check(linked, "out: expected 36×2 and 2, found 2")
        with h5py.File(external, "r+") as file:
            del file[place]
            file.create_dataset(place, (36, 2), "f4", external=[(str(tmp_path / "secret"), 0, 288)])
        self.check(external, "are not in the file itself")

    def test_a_group_in_itself(self, small: Path) -> None:
        with h5py.File(small, "r+") as file:
            file["layers/again"] = file["layers"]
        self.check(small, "groups are more than 100 deep")

    def test_not_a_number(self, small: Path) -> None:
        with h5py.File(small, "r+") as file:
            file["layers/dense/vars/0"][0, 0] = np.nan
        self.check(small, r"out\.weight: 1 of 72 numbers is NaN or infinite")


def test_commands(keras: Any, tmp_path: Path, cnnspec: Any) -> None:
    result = cnnspec("export", "lenet", "--to", "keras", "-o", "net.py", "--weights", "lenet")
    assert result.exit_code == 0, result.output
    assert "net.py and net.weights.h5" in result.output
    assert re.search(r"verified: keras [\d.]+ on torch computes what NumPy does", result.output)
    names: dict[str, Any] = {}
    exec(Path("net.py").read_text("utf-8"), names)
    model = names["lenet"]()
    model.load_weights("net.weights.h5")
    model.save("trained.keras")
    for file in ("net.weights.h5", "trained.keras"):
        result = cnnspec("weights", "convert", "lenet", "--from", file, "-o", "back.safetensors")
        assert result.exit_code == 0, result.output
        assert "transposed from 256×120" in result.output
        back, own = files.read("back.safetensors"), files.read(files.find("lenet"))
        for name, array in own.items():
            np.testing.assert_array_equal(back[name], array)
    result = cnnspec("weights", "convert", "lenet5", "--from", "net.weights.h5", "-o", "none.safetensors")
    assert result.exit_code == 1
    assert "c1: expected" in result.output
    assert not Path("none.safetensors").exists()
    assert "without weights" in cnnspec("export", "lenet", "--to", "keras", "-o", "alone.py").output
    assert not Path("alone.weights.h5").exists()


def test_a_backend_of_keras_is_found(keras: Any, tmp_path: Path) -> None:
    """Where Keras' own choice is not installed; the choice does not stay in the environment."""
    code = (
        "import os; from cnnspec.interop.source.keras_weights import imported_keras; "
        "found = imported_keras().backend.backend(); assert 'KERAS_BACKEND' not in os.environ; print(found)"
    )
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    environment.pop("KERAS_BACKEND", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] in ("tensorflow", "jax", "torch")


def test_a_backend_of_keras_that_is_not_there(keras: Any, process: Any) -> None:
    options = ("export", "lenet", "--to", "keras", "-o", "net.py", "--weights", "lenet")
    done = process(*options, env={"KERAS_BACKEND": "nothing"})
    assert done.returncode == 1
    assert "error: Keras cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr

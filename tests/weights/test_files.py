"""Weights as files, and held to a network: what is written comes back, and every fault is named at once."""

import contextlib
import json
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnspec import bundled
from cnnspec.errors import WeightsError
from cnnspec.graph.build import GraphBuilder
from cnnspec.layers.dense import Dense
from cnnspec.weights import files as weights
from cnnspec.weights import match
from cnnspec.weights.initial import initial


def network(*units):
    """Dense layers fc1, fc2 … over a vector of 3."""
    builder = GraphBuilder("net")
    last = builder.input((3,))
    for i, n in enumerate(units, 1):
        last = builder.add(f"fc{i}", Dense(units=n), [last.name])
    return builder.graph()


def raw(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def message(call, *arguments):
    with pytest.raises(WeightsError) as caught:
        call(*arguments)
    return str(caught.value)


# Files


def test_what_is_written_comes_back(tmp_path):
    path = tmp_path / "w.safetensors"
    arrays = {
        "b.double": np.array([[1.5, -2], [np.pi, 1e300]]),
        "a.single": np.float32([0.1, 0.2]),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "big-endian": np.array([1, 2, 3], ">f4"),
        "steps": np.asarray(12),
        "empty": np.zeros((0, 4)),
        "mask": np.array([True, False]),
    }
    weights.write(path, arrays, {"seed": "0", "accuracy": "0.91 ✓"})
    found = weights.read(path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert (found[name] == array).all()
    assert weights.metadata(path) == {"seed": "0", "accuracy": "0.91 ✓"}


def test_other_tools_read_what_is_written(tmp_path):
    from safetensors.numpy import load_file

    path = tmp_path / "w.safetensors"
    weights.write(path, {"fc.weight": np.arange(6.0).reshape(2, 3).T})
    assert load_file(path)["fc.weight"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert weights.metadata(path) == {}


def test_equal_weights_are_equal_files(tmp_path):
    texts = {f"key{i}": "x" for i in range(20)}
    for name in ("a", "b"):
        weights.write(tmp_path / name, {"w": np.ones(3)}, texts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_read_arrays_can_be_changed(tmp_path):
    weights.write(tmp_path / "w", {"w": np.zeros(2)})
    array = weights.read(tmp_path / "w")["w"]
    array += 1
    assert array.tolist() == [1, 1]


def test_half_precision_becomes_float32(tmp_path):
    path = tmp_path / "half.safetensors"
    halves = np.array([1.5, -0.25], np.float16)
    bfloats = np.array([1.0, -3.5], np.float32).view(np.uint32) >> 16
    header = {
        "h": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        "b": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [4, 8]},
    }
    path.write_bytes(raw(header, halves.tobytes() + bfloats.astype("<u2").tobytes()))
    found = weights.read(path)
    assert {name: (array.dtype.name, array.tolist()) for name, array in found.items()} == {
        "h": ("float32", [1.5, -0.25]),
        "b": ("float32", [[1.0], [-3.5]]),
    }


@pytest.mark.parametrize("read", [weights.read, weights.metadata])
def test_a_file_that_is_not_there(tmp_path, read):
    assert message(read, tmp_path / "no.safetensors") == f"there is no file `{tmp_path}/no.safetensors`"
    assert message(read, tmp_path) == f"`{tmp_path}` is a directory, not a safetensors file"


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")  # noqa: PTH110
def test_a_device_is_not_read():
    assert message(weights.read, "/dev/zero") == "`/dev/zero` is not a regular file"


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -1])
def test_a_truncated_file(tmp_path, cut):
    path = tmp_path / "w.safetensors"
    weights.write(path, {"w": np.ones(100)})
    path.write_bytes(path.read_bytes()[:cut])
    for read in (weights.read, weights.metadata):
        assert message(read, path).startswith(f"`{path}` is not a complete safetensors file: ")


def test_a_dtype_that_is_not_read(tmp_path):
    path = tmp_path / "f8.safetensors"
    path.write_bytes(raw({"conv1.weight": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"12"))
    assert f"`{path}`: the tensor `conv1.weight` has the dtype F8_E4M3" in message(weights.read, path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda b: struct.pack("<Q", len(b)) + b)))
def test_any_bytes_are_weights_or_a_weights_error(tmp_path, content):
    path = tmp_path / "any"
    path.write_bytes(content)
    for read in (weights.read, weights.metadata):
        with contextlib.suppress(WeightsError):
            read(path)


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["a"]), np.array([object()]), np.zeros(1, np.longdouble)])
def test_what_safetensors_cannot_hold_is_not_written(tmp_path, array):
    path = tmp_path / "w"
    assert "the tensor `w` holds" in message(weights.write, path, {"w": array})
    assert not path.exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    weights.write(path, {"w": np.zeros(1)})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert message(weights.write, path, {"w": np.ones(1)}) == f"`{path}` cannot be written: No space left on device"
    assert weights.read(path)["w"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_data_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    """Else a power cut could leave the new name on an empty file."""
    path = tmp_path / "w"
    seen = []
    flush = os.fsync

    def fsync(descriptor):
        seen.append((path.exists(), os.path.isdir(f"/proc/self/fd/{descriptor}")))  # noqa: PTH112
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    weights.write(path, {"w": np.ones(1)})
    assert seen == [(False, False), (True, True)]  # the file, then the folder with its new name


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "no" / "w", tmp_path / "file" / "w", tmp_path):
        assert message(weights.write, path, {"w": np.ones(1)}).startswith(f"`{path}` cannot be written: ")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    weights.write(tmp_path / "link", {"w": np.ones(1)})
    assert (tmp_path / "link").is_symlink()
    assert weights.read(tmp_path / "target")["w"] == 1


# Against a network


def test_weights_that_fit_come_in_the_networks_order():
    graph = network(4, 2)
    arrays = initial(graph, 0)
    found = match.checked(graph, dict(reversed(arrays.items())), "w")
    assert list(found) == list(graph.parameters)
    assert all((found[name] == arrays[name]).all() for name in arrays)


def test_every_fault_is_listed_at_once():
    graph = network(4, 4, 4)
    arrays = dict(initial(graph, 0))
    arrays["fc1.weight"] = np.zeros((3, 4))
    arrays["fc2.wieght"] = arrays.pop("fc2.weight")
    arrays["zebra"] = np.zeros(1)
    arrays["fc1.bias"] = np.array([1, np.nan, np.inf, 0])
    arrays["fc2.bias"] = np.array([np.nan, 0, 0, 0])
    arrays["fc3.bias"] = np.array(["a", "b", "c", "d"])
    assert message(match.checked, graph, arrays, "best.safetensors").splitlines() == [
        "best.safetensors does not fit the network `net`:",
        "  fc1.weight: expected [4, 3], found [3, 4]",
        "  fc2.weight: expected [4, 4], found nothing",
        "  fc2.wieght: found [4, 4], and the network has no such tensor; did you mean `fc2.weight`?",
        "  zebra: found [1], and the network has no such tensor",
        "  fc3.bias: expected numbers, found <U1",
        "  fc1.bias: 2 of 4 numbers are NaN or infinite",
        "  fc2.bias: 1 of 4 numbers is NaN or infinite",
    ]


def test_hundreds_of_faults_are_counted():
    graph = network(*[3] * 500)
    arrays = {f"module.{name}": np.zeros(1) for name in graph.parameters}
    lines = message(match.checked, graph, arrays, "w").splitlines()
    assert lines[11] == "  … and 990 more missing"
    assert lines[22] == "  … and 990 more that the network does not have"
    assert "did you mean `fc1.weight`?" in lines[12]
    assert len(lines) == 23


def test_it_is_a_value_error():
    with pytest.raises(ValueError, match="the given state does not fit"):
        match.checked(network(1), {}, "the given state")


# Bundled


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    specs = tmp_path / "specs"
    (specs / "textbook").mkdir(parents=True)
    for name in ("lenet.yaml", "lenet.safetensors", "mlp.yaml", "textbook/max_pooling.yaml", "textbook/mlp.yaml"):
        (specs / name).touch()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(bundled, "folder", lambda: specs)
    return specs


def test_bundled_specs_are_found_by_name(shelf):
    assert bundled.names() == ["lenet", "mlp", "textbook/max_pooling", "textbook/mlp"]
    for name in ("textbook/max_pooling", "textbook/max_pooling.yaml", "max_pooling", "max_pooling.yaml"):
        assert bundled.find(name) == shelf / "textbook" / "max_pooling.yaml"
    assert bundled.find("mlp") == shelf / "mlp.yaml"
    assert bundled.find("textbook/mlp") == shelf / "textbook" / "mlp.yaml"
    assert bundled.find("pooling") is None
    assert bundled.find("../specs/lenet") is None


def test_bundled_weights_are_found_by_name(shelf):
    assert weights.find("lenet") == weights.find("lenet.safetensors") == shelf / "lenet.safetensors"


def test_a_file_in_the_working_directory_wins(shelf, tmp_path):
    work = tmp_path / "work"
    (work / "lenet").mkdir()
    assert weights.find("lenet") == shelf / "lenet.safetensors"  # a folder of that name is no file
    (work / "lenet.safetensors").touch()
    assert weights.find("lenet.safetensors").resolve() == work / "lenet.safetensors"


def test_unknown_weights(shelf):
    assert message(weights.find, "lenett") == (
        "there are no weights `lenett`, neither as a file nor bundled; did you mean `lenet`?"
    )
    assert message(weights.find, "other/x") == (
        "there are no weights `other/x`, neither as a file nor bundled; bundled are: lenet"
    )


def test_the_folder_is_there():
    assert (bundled.folder() / "textbook").is_dir()

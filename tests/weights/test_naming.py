"""The names of torchvision's and timm's networks tell the order of the layers, whatever that of the file is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from named_networks import DEFINED, TIMMS, TORCHVISIONS, vit_tiny
from safetensors.numpy import save_file
from test_conversion import TORCHVISION, resnet, truth
from test_conversion import shapes_of as shapes_of_triples
from test_conversion_zoo import MODELS, Shape, parameters, shapes_of

import cnnspec
from cnnspec import bundled
from cnnspec.errors import WeightsError
from cnnspec.weights import conversion, naming

Shapes = dict[str, Shape]
Mapping = dict[str, str]


def in_turn(spec: str, found: Shapes) -> Mapping:
    """The mapping of a list in the order of the spec."""
    return dict(zip(parameters(spec), found, strict=True))


def networks() -> Iterator[tuple[str, str, Shapes, Mapping]]:
    """Library, spec, the shapes by name in the order of the library, and which tensor each array of the spec is."""
    triples = TORCHVISION | {"resnet101": lambda: resnet("bottleneck", (3, 4, 23, 3))}
    for spec, triple in triples.items():
        yield "torchvision", spec, shapes_of_triples(triple()), truth(triple())
    for spec, model in (TORCHVISIONS | MODELS).items():
        library = "timm" if spec in ("seresnet50", "darknet53") else "torchvision"
        yield library, spec, shapes_of(model()), in_turn(spec, shapes_of(model()))
    for spec, model in TIMMS.items():
        found = shapes_of(DEFINED[spec](defined=True) if spec in DEFINED else model())
        yield "timm", spec, found, in_turn(spec, shapes_of(model()))


NETWORKS = [pytest.param(*rest, id=f"{library}-{rest[0]}-{len(rest[1])}") for library, *rest in networks()]


def assigned(spec: str, found: Shapes) -> tuple[Mapping, list[str], bool]:
    return conversion.assigned(parameters(spec), found, naming.recognise([*found]))


@pytest.mark.parametrize(("spec", "found", "expected"), NETWORKS)
class TestNetworks:
    def test_in_the_order_of_the_library(self, spec: str, found: Shapes, expected: Mapping) -> None:
        assert assigned(spec, found) == (expected, [], True)

    def test_sorted_by_name(self, spec: str, found: Shapes, expected: Mapping) -> None:
        in_natural_order = {name: found[name] for name in sorted(found, key=naming.natural)}
        assert assigned(spec, in_natural_order) == (expected, [], True)

    def test_the_names_alone_tell_the_order(self, spec: str, found: Shapes, expected: Mapping) -> None:
        shuffled = random.Random(0).sample(sorted(found), len(found))
        assert assigned(spec, {name: found[name] for name in shuffled}) == (expected, [], True)

    def test_a_name_more_is_another_network(self, spec: str, found: Shapes, expected: Mapping) -> None:
        assert naming.recognise([*found])
        assert naming.recognise([*found, "surplus.weight"]) is None
        above = next(iter(found)).rpartition(".")[0].rpartition(".")[0]
        assert naming.recognise([*found, f"{above}.surplus.weight".lstrip(".")]) is None


def test_a_spec_in_another_order_takes_that_of_the_file() -> None:
    """One whose author followed timm, in which the shortcut of a RegNet comes last."""
    found = shapes_of(DEFINED["regnet_y_400mf"](defined=True))
    ours = {f"net.{name}": shape for name, shape in found.items()}
    mapping, faults, ordered = conversion.assigned(ours, found, naming.recognise([*found]))
    assert (mapping, faults, ordered) == (dict(zip(ours, found, strict=True)), [], False)


def test_every_network_of_the_libraries_is_there() -> None:
    """All bundled networks but those that neither has."""
    elsewhere = {
        "allconv28", "attention_unet", "dcgan_discriminator", "dcgan_generator", "googlenet_2014", "lenet", "lenet5",
        "m5", "mlp", "nin", "resnet", "resnet20", "separable28", "siamese", "unet", "unet_padded", "vgg", "yolov8n",
    }  # fmt: skip
    ours = {name for name in bundled.names() if "/" not in name}
    assert {spec for _, spec, *_ in networks()} | {"vit_tiny"} == ours - elsewhere


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["weight", "bias"],
        ["0.weight", "2.weight"],
        ["conv1.weight", "conv2.weight"],
        ["features.0.weight"],
        ["features.0.weight", "classifier.head.weight"],
        ["stem.0.weight", "stages.0.blocks.0.norm.weight", "head.fc.weight"],
    ],
)
def test_other_names_are_of_no_family(names: list[str]) -> None:
    assert naming.recognise(names) is None


# Through files


def draw(found: Shapes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in found.items()}


def message(spec: str, path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        conversion.convert(cnnspec.load(spec).graph, path)
    return str(caught.value)


def test_a_sorted_file(tmp_path: Path) -> None:
    """Where its order does not tell, the numbers are those of the right tensors all the same."""
    shapes = shapes_of(TIMMS["regnet_y_400mf"]())
    arrays, path = draw(shapes), tmp_path / "model.safetensors"
    save_file(arrays, path)
    found = conversion.convert(cnnspec.load("regnet_y_400mf").graph, path)
    for name, source in in_turn("regnet_y_400mf", shapes).items():
        assert np.array_equal(found.arrays[name].ravel(), arrays[source].ravel())
    assert found.notes == ("the names are those of timm's RegNet, and the layers are taken in its order",)


DENSE = """
name: small
input: [2, 3, 4]
layers:
  - conv: {channels: 5, kernel: 1}
  - flatten
  - dense: 6
"""


def test_a_convolution_over_the_whole_input_is_a_dense_layer() -> None:
    graph = cnnspec.loads(DENSE).graph
    arrays = draw({"a.weight": (5, 2, 1, 1), "a.bias": (5,), "b.weight": (6, 5, 3, 4), "b.bias": (6,)})
    mapping, faults, _ = conversion.assigned(
        {name: parameter.shape for name, parameter in graph.parameters.items()},
        {name: array.shape for name, array in arrays.items()}, None,
    )  # fmt: skip
    assert faults == []
    taken = {name: arrays[source].reshape(graph.parameters[name].shape) for name, source in mapping.items()}
    x = np.random.default_rng(1).normal(size=(1, 2, 3, 4)).astype(np.float32)
    hidden = np.einsum("oi,nihw->nohw", arrays["a.weight"][:, :, 0, 0], x) + arrays["a.bias"][:, None, None]
    expected = np.einsum("oihw,nihw->no", arrays["b.weight"], hidden) + arrays["b.bias"]
    assert np.allclose(cnnspec.build(graph, weights=taken).predict(x), expected, rtol=1e-5)


def test_a_transposed_kernel_is_not_a_layer_of_the_same_numbers() -> None:
    """Only dense layers have one axis for all that they read."""
    mapping, faults, _ = conversion.assigned({"conv1.weight": (5, 2, 3, 4)}, {"a.weight": (5, 2, 4, 3)}, None)
    assert mapping == {}
    assert faults


def test_a_vision_transformer_with_a_class_token(tmp_path: Path) -> None:
    """The message names what no spec has, and nothing else: the attention has other names, and is recognised."""
    arrays = draw({name.lstrip("."): shape for name, shape in shapes_of(vit_tiny()).items()})
    path = tmp_path / "model.safetensors"
    save_file(arrays, path)
    text = message("vit_tiny", path)
    assert text.splitlines() == [
        f"`{path}` cannot be mapped onto `vit_tiny`:",
        "  cls_token (weight 1×1×192) is in the file, and has no counterpart in the spec",
        "  pos_embed (weight 1×197×192) is in the file, and has no counterpart in the spec",
        "  position_embedding1 (weight 192×14×14) is in the spec, and has no counterpart in the file",
        "  help: --ignore NAME leaves out what the spec does not have",
        "  help: --rename OLD=NEW settles a layer: OLD begins its names in the file, NEW is the layer of the spec",
        "  note: the names are those of timm's vision transformer: `cls_token` is a class token, and `pos_embed` has a "
        "position more for it; the spec has none: `cnnspec import` writes a spec of the module with its weights",
    ]


def test_another_network_of_the_family() -> None:
    shapes = shapes_of_triples(resnet("basic", (3, 4, 6, 3)))
    _, faults, _ = assigned("resnet18", shapes)
    text = "\n".join(faults)
    assert "5 in the file, 3 in the spec, of weight 512×512×3×3:" in text
    assert "layer2.2.conv1" in text
    assert "--rename OLD=NEW" in text

"""Weights of other programs: torchvision's names land on the right layers, and whatever is not certain is refused."""

import json
import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import cnnspec as package
from cnnspec.errors import WeightsError
from cnnspec.weights import alignment, conversion, naming
from cnnspec.weights import files as weights

# torchvision's models: (its module, our layer, the shapes), in the order in which torchvision defines them


def conv(o, i, k, bias=False):
    return {"weight": (o, i, k, k), **({"bias": (o,)} if bias else {})}


def linear(o, i):
    return {"weight": (o, i), "bias": (o,)}


def norm(c):
    return {"weight": (c,), "bias": (c,)}


def batch_norm(c):
    return norm(c) | {"running_mean": (c,), "running_var": (c,), "num_batches_tracked": ()}


def alexnet():
    convs = [(64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)]
    for n, place, shape in zip(range(1, 6), (0, 3, 6, 8, 10), convs, strict=True):
        yield f"features.{place}", f"conv{n}", conv(*shape, bias=True)
    for n, place, shape in zip(range(1, 4), (1, 4, 6), [(4096, 9216), (4096, 4096), (1000, 4096)], strict=True):
        yield f"classifier.{place}", f"dense{n}", linear(*shape)


def vgg11():
    names = ["stage1.conv1", "stage2.conv1", *(f"stage{s}.conv{n}" for s in (3, 4, 5) for n in (1, 2))]
    widths = [3, 64, 128, 256, 256, 512, 512, 512, 512]
    for n, place in enumerate((0, 3, 6, 8, 11, 13, 16, 18)):
        yield f"features.{place}", names[n], conv(widths[n + 1], widths[n], 3, bias=True)
    for n, place, shape in zip(range(1, 4), (0, 3, 6), [(4096, 25088), (4096, 4096), (1000, 4096)], strict=True):
        yield f"classifier.{place}", f"dense{n}", linear(*shape)


def resnet(unit, depths, inner=lambda c: c, groups=1):
    yield "conv1", "conv1", conv(64, 3, 7)
    yield "bn1", "batch_norm1", batch_norm(64)
    before = 64
    for s, (c, depth) in enumerate(zip((64, 128, 256, 512), depths, strict=True), 1):
        for u in range(depth):
            theirs, ours = f"layer{s}.{u}", f"stage{s}.unit{u}"
            w = inner(c)
            convs = {
                "basic": [(c, before, 3), (c, c, 3)],
                "bottleneck": [(w, before, 1), (w, w // groups, 3), (4 * c, w, 1)],
            }[unit]
            for n, shape in enumerate(convs, 1):
                yield f"{theirs}.conv{n}", f"{ours}.conv{n}", conv(*shape)
                yield f"{theirs}.bn{n}", f"{ours}.batch_norm{n}", batch_norm(shape[0])
            after = convs[-1][0]
            if u == 0 and (s > 1 or unit == "bottleneck"):
                yield f"{theirs}.downsample.0", f"{ours}.shortcut", conv(after, before, 1)
                yield f"{theirs}.downsample.1", f"{ours}.batch_norm{len(convs) + 1}", batch_norm(after)
            before = after
    yield "fc", "dense1", linear(1000, before)


def googlenet(heads=False):
    def unit(theirs, ours, n, o, i, k):
        yield f"{theirs}.conv", f"{ours}.conv{n}", conv(o, i, k)
        yield f"{theirs}.bn", f"{ours}.batch_norm{n}", batch_norm(o)

    yield from unit("conv1", "stem", 1, 64, 3, 7)
    yield from unit("conv2", "stem", 2, 64, 64, 1)
    yield from unit("conv3", "stem", 3, 192, 64, 3)
    modules = {
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }
    for name, (c, one, c3in, c3, c5in, c5, pool) in modules.items():
        at = f"inception{name}"
        yield from unit(f"{at}.branch1", at, 1, one, c, 1)
        yield from unit(f"{at}.branch2.0", at, 2, c3in, c, 1)
        yield from unit(f"{at}.branch2.1", at, 3, c3, c3in, 3)
        yield from unit(f"{at}.branch3.0", at, 4, c5in, c, 1)
        yield from unit(f"{at}.branch3.1", at, 5, c5, c5in, 3)
        yield from unit(f"{at}.branch4.1", at, 6, pool, c, 1)
    for n, c in ((1, 512), (2, 528)) if heads else ():
        yield f"aux{n}.conv.conv", None, conv(128, c, 1)
        yield f"aux{n}.conv.bn", None, batch_norm(128)
        yield f"aux{n}.fc1", None, linear(1024, 2048)
        yield f"aux{n}.fc2", None, linear(1000, 1024)
    yield "fc", "dense1", linear(1000, 1024)


def squeezenet1_0():
    yield "features.0", "conv1", conv(96, 3, 7, bias=True)
    places = {3: "stage1.fire1", 4: "stage1.fire2", 5: "stage1.fire3", 7: "stage2.fire1", 8: "stage2.fire2"}
    places |= {9: "stage2.fire3", 10: "stage2.fire4", 12: "stage3.fire1"}
    before = 96
    for (place, ours), s in zip(places.items(), (16, 16, 32, 32, 48, 48, 64, 64), strict=True):
        yield f"features.{place}.squeeze", f"{ours}.squeeze", conv(s, before, 1, bias=True)
        yield f"features.{place}.expand1x1", f"{ours}.expand1x1", conv(4 * s, s, 1, bias=True)
        yield f"features.{place}.expand3x3", f"{ours}.expand3x3", conv(4 * s, s, 3, bias=True)
        before = 8 * s
    yield "classifier.1", "conv2", conv(1000, 512, 1, bias=True)


def densenet121():
    """The names of its published file, which has `norm.1` for norm1."""
    yield "features.conv0", "conv1", conv(64, 3, 7)
    yield "features.norm0", "batch_norm1", batch_norm(64)
    c = 64
    for s, depth in enumerate((6, 12, 24, 16), 1):
        for n in range(1, depth + 1):
            theirs, ours = f"features.denseblock{s}.denselayer{n}", f"stage{s}.layer{n}"
            yield f"{theirs}.norm.1", f"{ours}.batch_norm1", batch_norm(c)
            yield f"{theirs}.conv.1", f"{ours}.conv1", conv(128, c, 1)
            yield f"{theirs}.norm.2", f"{ours}.batch_norm2", batch_norm(128)
            yield f"{theirs}.conv.2", f"{ours}.conv2", conv(32, 128, 3)
            c += 32
        if s < 4:
            yield f"features.transition{s}.norm", f"transition{s}.batch_norm1", batch_norm(c)
            yield f"features.transition{s}.conv", f"transition{s}.conv1", conv(c // 2, c, 1)
            c //= 2
    yield "features.norm5", "batch_norm2", batch_norm(c)
    yield "classifier", "dense1", linear(1000, c)


STAGES = ((16, 24, 2), (24, 32, 3), (32, 64, 4), (64, 96, 3), (96, 160, 3), (160, 320, 1))


def mobilenet_v2():
    def unit(theirs, ours, cin, wide, c):
        n = 0
        if wide != cin:
            yield f"{theirs}.0.0", f"{ours}.expand", conv(wide, cin, 1)
            yield f"{theirs}.0.1", f"{ours}.batch_norm1", batch_norm(wide)
            n = 1
        yield f"{theirs}.{n}.0", f"{ours}.depthwise", conv(wide, 1, 3)
        yield f"{theirs}.{n}.1", f"{ours}.batch_norm{n + 1}", batch_norm(wide)
        yield f"{theirs}.{n + 1}", f"{ours}.project", conv(c, wide, 1)
        yield f"{theirs}.{n + 2}", f"{ours}.batch_norm{n + 2}", batch_norm(c)

    yield "features.0.0", "conv1", conv(32, 3, 3)
    yield "features.0.1", "batch_norm1", batch_norm(32)
    yield from unit("features.1.conv", "stage0", 32, 32, 16)
    place = 2
    for s, (cin, c, depth) in enumerate(STAGES, 1):
        for u in range(depth):
            before = c if u else cin
            yield from unit(f"features.{place}.conv", f"stage{s}.unit{u}", before, 6 * before, c)
            place += 1
    yield "features.18.0", "conv2", conv(1280, 320, 1)
    yield "features.18.1", "batch_norm2", batch_norm(1280)
    yield "classifier.1", "dense1", linear(1000, 1280)


def efficientnet_b0():
    stages = ((16, 24, 3, 2), (24, 40, 5, 2), (40, 80, 3, 3), (80, 112, 5, 3), (112, 192, 5, 4), (192, 320, 3, 1))

    def unit(theirs, ours, cin, wide, c, k):
        n = 0
        if wide != cin:
            yield f"{theirs}.0.0", f"{ours}.expand", conv(wide, cin, 1)
            yield f"{theirs}.0.1", f"{ours}.batch_norm1", batch_norm(wide)
            n = 1
        yield f"{theirs}.{n}.0", f"{ours}.depthwise", conv(wide, 1, k)
        yield f"{theirs}.{n}.1", f"{ours}.batch_norm{n + 1}", batch_norm(wide)
        yield f"{theirs}.{n + 1}.fc1", f"{ours}.squeeze", conv(cin // 4, wide, 1, bias=True)
        yield f"{theirs}.{n + 1}.fc2", f"{ours}.excite", conv(wide, cin // 4, 1, bias=True)
        yield f"{theirs}.{n + 2}.0", f"{ours}.project", conv(c, wide, 1)
        yield f"{theirs}.{n + 2}.1", f"{ours}.batch_norm{n + 2}", batch_norm(c)

    yield "features.0.0", "conv1", conv(32, 3, 3)
    yield "features.0.1", "batch_norm1", batch_norm(32)
    yield from unit("features.1.0.block", "stage0", 32, 32, 16, 3)
    for s, (cin, c, k, depth) in enumerate(stages, 1):
        for u in range(depth):
            before = c if u else cin
            yield from unit(f"features.{s + 1}.{u}.block", f"stage{s}.unit{u}", before, 6 * before, c, k)
    yield "features.8.0", "conv2", conv(1280, 320, 1)
    yield "features.8.1", "batch_norm2", batch_norm(1280)
    yield "classifier.1", "dense1", linear(1000, 1280)


def shufflenet_v2_x1_0():
    yield "conv1.0", "conv1", conv(24, 3, 3)
    yield "conv1.1", "batch_norm1", batch_norm(24)
    for s, (cin, half, depth) in enumerate(((24, 58, 4), (116, 116, 8), (232, 232, 4)), 1):
        for u in range(depth):
            theirs, ours, n = f"stage{s + 1}.{u}", f"stage{s}.unit{u}", 0
            if u == 0:
                for place, shape in ((0, (cin, 1, 3)), (2, (half, cin, 1))):
                    n += 1
                    yield f"{theirs}.branch1.{place}", f"{ours}.conv{n}", conv(*shape)
                    yield f"{theirs}.branch1.{place + 1}", f"{ours}.batch_norm{n}", batch_norm(shape[0])
            for place, shape in ((0, (half, half if u else cin, 1)), (3, (half, 1, 3)), (5, (half, half, 1))):
                n += 1
                yield f"{theirs}.branch2.{place}", f"{ours}.conv{n}", conv(*shape)
                yield f"{theirs}.branch2.{place + 1}", f"{ours}.batch_norm{n}", batch_norm(half)
    yield "conv5.0", "conv2", conv(1024, 464, 1)
    yield "conv5.1", "batch_norm2", batch_norm(1024)
    yield "fc", "dense1", linear(1000, 1024)


def convnext_tiny(depths=(3, 3, 9, 3)):
    yield "features.0.0", "stage1.down.conv1", conv(96, 3, 4, bias=True)
    yield "features.0.1", "stage1.down.layer_norm1", norm(96)
    for s, (c, depth) in enumerate(zip((96, 192, 384, 768), depths, strict=True), 1):
        if s > 1:
            yield f"features.{2 * s - 2}.0", f"stage{s}.down.layer_norm1", norm(c // 2)
            yield f"features.{2 * s - 2}.1", f"stage{s}.down.conv1", conv(c, c // 2, 2, bias=True)
        for u in range(depth):
            theirs, ours = f"features.{2 * s - 1}.{u}", f"stage{s}.unit{u + 1}"
            yield theirs, f"{ours}.scale1", {"layer_scale": (c, 1, 1)}
            yield f"{theirs}.block.0", f"{ours}.depthwise", conv(c, 1, 7, bias=True)
            yield f"{theirs}.block.2", f"{ours}.layer_norm1", norm(c)
            yield f"{theirs}.block.3", f"{ours}.widen", linear(4 * c, c)
            yield f"{theirs}.block.5", f"{ours}.narrow", linear(c, 4 * c)
    yield "classifier.0", "layer_norm1", norm(768)
    yield "classifier.2", "dense1", linear(1000, 768)


TORCHVISION = {
    "alexnet": alexnet,
    "vgg11": vgg11,
    "resnet18": lambda: resnet("basic", (2, 2, 2, 2)),
    "resnet34": lambda: resnet("basic", (3, 4, 6, 3)),
    "resnet50": lambda: resnet("bottleneck", (3, 4, 6, 3)),
    "resnet152": lambda: resnet("bottleneck", (3, 8, 36, 3)),
    "resnext50_32x4d": lambda: resnet("bottleneck", (3, 4, 6, 3), lambda c: 2 * c, 32),
    "wide_resnet50_2": lambda: resnet("bottleneck", (3, 4, 6, 3), lambda c: 2 * c),
    "googlenet": googlenet,
    "squeezenet1_0": squeezenet1_0,
    "densenet121": densenet121,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_b0": efficientnet_b0,
    "shufflenet_v2_x1_0": shufflenet_v2_x1_0,
    "convnext_tiny": convnext_tiny,
}


def shapes_of(model):
    """The state_dict's shapes by name, without the counters of batches."""
    return {
        f"{theirs}.{role}": shape
        for theirs, _, shapes in model
        for role, shape in shapes.items()
        if role != "num_batches_tracked"
    }


def truth(model):
    """Which tensor each of our parameters is."""
    roles = {"layer_scale": "weight"}
    return {
        f"{ours}.{roles.get(role, role)}": f"{theirs}.{role}"
        for theirs, ours, shapes in model
        for role in shapes
        if ours and role != "num_batches_tracked"
    }


def align(spec, found, **extra):
    expected = {name: parameter.shape for name, parameter in package.load(spec, **extra).graph.parameters.items()}
    return alignment.align(expected, found)


@pytest.mark.parametrize("spec", TORCHVISION)
def test_every_tensor_of_torchvisions_models_finds_its_place(spec):
    mapping, faults = align(spec, shapes_of(TORCHVISION[spec]()))
    assert faults == []
    assert mapping == truth(TORCHVISION[spec]())


@pytest.mark.parametrize("spec", TORCHVISION)
def test_sorted_by_name_every_tensor_finds_its_place_or_none_does(spec):
    """Sorting hides the order of the layers; where the shapes do not give it back, they are not guessed."""
    found = shapes_of(TORCHVISION[spec]())
    mapping, faults = align(spec, {name: found[name] for name in sorted(found, key=naming.natural)})
    hidden = spec in ("densenet121", "shufflenet_v2_x1_0", "convnext_tiny")
    assert bool(faults) == hidden
    assert mapping == ({} if hidden else truth(TORCHVISION[spec]()))


RULES = {
    "densenet121": [
        ("features.norm0", "batch_norm1"),
        *((f"features.transition{n}.norm", f"transition{n}.batch_norm1") for n in (1, 2, 3)),
        *((f"features.transition{n}.conv", f"transition{n}.conv1") for n in (1, 2, 3)),
    ],
    "shufflenet_v2_x1_0": [("conv1.1", "batch_norm1")],
    "convnext_tiny": [("classifier.0", "layer_norm1")],
}


@pytest.mark.parametrize("spec", RULES)
def test_a_few_renames_settle_what_sorting_hides(spec):
    found = shapes_of(TORCHVISION[spec]())
    names = conversion.renamed(sorted(found, key=naming.natural), RULES[spec])
    mapping, faults = align(spec, {new: found[old] for new, old in names.items()})
    assert faults == []
    assert {ours: names[theirs] for ours, theirs in mapping.items()} == truth(TORCHVISION[spec]())


def test_heads_that_the_spec_does_not_have_are_named():
    mapping, faults = align("googlenet", shapes_of(googlenet(heads=True)))
    assert mapping == {}
    assert "  help: --ignore aux1 --ignore aux2 leaves out what the spec does not have" in faults
    ambiguous = faults.index(next(fault for fault in faults if "dense1" in fault))
    assert faults[ambiguous] == (
        "  3 in the file, 1 in the spec, of weight 1000×1024, bias 1000:\n"
        "      file: aux1.fc2, aux2.fc2, fc\n      spec: dense1"
    )


# Through files


def draw(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}


def safetensors(path, arrays):
    """A file in the order given: save_file would sort."""
    header, start = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header).encode()
    data = b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def message(*arguments, **extra):
    with pytest.raises(WeightsError) as caught:
        conversion.convert(*arguments, **extra)
    return str(caught.value)


SMALL = """
cnnspec: 1
name: small
input: [2, 4, 4]
layers:
  - conv: {channels: 3, kernel: 3, padding: same, norm: batch_norm}
  - conv: {channels: 3, kernel: 1}
  - scale: 0.5
  - flatten
  - dense: 2
"""
THEIRS = {
    "gain": (3, 1, 1),
    "body.0.weight": (3, 2, 3, 3),
    "body.1.weight": (3,),
    "body.1.bias": (3,),
    "body.1.running_mean": (3,),
    "body.1.running_var": (3,),
    "body.1.num_batches_tracked": (),
    "body.2.weight": (3, 3),
    "body.2.bias": (3,),
    "head.weight": (2, 48),
    "head.bias": (2,),
}
OURS = {
    "conv1.weight": "body.0.weight",
    "batch_norm1.weight": "body.1.weight",
    "batch_norm1.bias": "body.1.bias",
    "batch_norm1.running_mean": "body.1.running_mean",
    "batch_norm1.running_var": "body.1.running_var",
    "conv2.weight": "body.2.weight",
    "conv2.bias": "body.2.bias",
    "scale1.weight": "gain",
    "dense1.weight": "head.weight",
    "dense1.bias": "head.bias",
}


@pytest.fixture
def small():
    return package.loads(SMALL).graph


@pytest.mark.parametrize("save", [safetensors, lambda path, arrays: save_file(arrays, path)])
def test_numbers_go_where_the_names_say(tmp_path, small, save):
    arrays = draw(THEIRS)
    save(tmp_path / "w.safetensors", arrays)
    found = conversion.convert(small, tmp_path / "w.safetensors")
    assert {pair.name: pair.source for pair in found.pairs} == OURS
    assert list(found.arrays) == list(small.parameters)
    for name, source in OURS.items():
        assert found.arrays[name].shape == small.parameters[name].shape
        assert (found.arrays[name].ravel() == arrays[source].ravel()).all()
    assert any("1 × `num_batches_tracked` left out" in note for note in found.notes)


def test_the_order_of_the_file_counts_unless_it_is_that_of_the_names(tmp_path):
    """Two layers of one shape: as defined, zebra comes first; save_file has sorted that away."""
    graph = package.loads("cnnspec: 1\ninput: [3]\nlayers: [dense: 3, dense: 3]").graph
    arrays = draw(shapes_of((name, "", linear(3, 3)) for name in ("zebra", "ant")))
    path = tmp_path / "w.safetensors"
    safetensors(path, arrays)
    defined = conversion.convert(graph, path)
    save_file(arrays, path)
    by_name = conversion.convert(graph, path)
    assert [pair.source for pair in defined.pairs] == list(arrays)
    assert defined.notes == ()
    assert [pair.source for pair in by_name.pairs] == ["ant.weight", "ant.bias", "zebra.weight", "zebra.bias"]
    assert by_name.notes[0].startswith("the file holds its tensors sorted by name")


def test_layer10_comes_after_layer2(tmp_path):
    graph = package.loads("cnnspec: 1\ninput: [3]\nlayers: [repeat: {times: 11, layers: [dense: 3]}]").graph
    save_file(draw(shapes_of((str(n), "", linear(3, 3)) for n in range(11))), tmp_path / "w.safetensors")
    found = conversion.convert(graph, tmp_path / "w.safetensors")
    assert [pair.source for pair in found.pairs[::2]] == [f"{n}.weight" for n in range(11)]


def test_equal_names_belong_together_whatever_the_order(tmp_path):
    graph = package.loads("cnnspec: 1\ninput: [3]\nlayers: [dense: 3, dense: 3]").graph
    arrays = draw({name: graph.parameters[name].shape for name in reversed(graph.parameters)})
    safetensors(tmp_path / "w.safetensors", arrays)
    found = conversion.convert(graph, tmp_path / "w.safetensors")
    assert all((found.arrays[name] == arrays[name]).all() for name in arrays)
    assert all(pair.by_name for pair in found.pairs)


ALONE = """
input: [3]
layers: [dense: {name: fc, units: 3}, scale: {name: gamma}, shift: {name: beta}, scale: {name: delta}]
"""


def test_a_tensor_that_stands_alone_is_the_only_array_of_the_layer_called_so(tmp_path):
    graph = package.loads(ALONE).graph
    shapes = {"delta": (1, 3), "beta": (3, 1, 1), "fc.bias": (3,), "fc.weight": (3, 3), "gamma": (3,)}
    arrays = draw(shapes)
    save_file(arrays, tmp_path / "w.safetensors")
    found = conversion.convert(graph, tmp_path / "w.safetensors")
    sources = {"gamma.weight": "gamma", "beta.bias": "beta", "delta.weight": "delta"}
    assert {pair.name: pair.source for pair in found.pairs if pair.source != pair.name} == sources
    assert all((found.arrays[name] == arrays[source].ravel()).all() for name, source in sources.items())
    assert found.notes == ()  # the order does not count


def test_the_name_of_an_array_is_before_that_of_its_layer(tmp_path):
    graph = package.loads(ALONE).graph
    arrays = draw({name: p.shape for name, p in graph.parameters.items()} | {"gamma": (3,)})
    save_file(arrays, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"gamma \(weight 3\) is in the file, and has no counterpart"):
        conversion.convert(graph, tmp_path / "w.safetensors")


def test_renames_and_ignores(tmp_path):
    graph = package.loads("cnnspec: 1\ninput: [3]\nlayers: [dense: 3, dense: 3]").graph
    arrays = draw(shapes_of((f"net.{name}", "", linear(3, 3)) for name in ("a", "b", "c", "bc")))
    path = tmp_path / "w.safetensors"
    safetensors(path, arrays)
    found = conversion.convert(graph, path, [("net", ""), ("b", "dense1")], ["net.c", "*.bc.*"])
    assert {pair.name: pair.source for pair in found.pairs} == {
        "dense1.weight": "net.b.weight",
        "dense1.bias": "net.b.bias",
        "dense2.weight": "net.a.weight",
        "dense2.bias": "net.a.bias",
    }
    assert message(graph, path, [("dance1", "x")]).startswith("--rename dance1: the file has no such name")
    assert message(graph, path, [], ["net.d"]) == (
        "--ignore net.d: the file has no such name, nor one below it; did you mean `net.c`?"
    )
    assert message(graph, path, [("net.a", "x"), ("net.b", "x")]) == (
        "after --rename, `net.a.weight` and `net.b.weight` are both called `x.weight`"
    )


# What is refused


def test_every_fault_is_listed_at_once(tmp_path, small):
    shapes = {
        "body.0.weight": (3, 2, 3, 3),
        "body.0.bias": (3,),
        "body.1.weight": (3,),
        "body.1.bias": (3,),
        "body.1.running_mean": (3,),
        "body.1.running_var": (3,),
        "body.2.weight": (3, 3, 1, 1),
        "body.2.bias": (3,),
        "body.3.weight": (3, 3),
        "body.3.bias": (3,),
        "dense1.weight": (48, 2),
        "dense1.bias": (2,),
        "extra": (7, 7),
    }
    path = tmp_path / "w.safetensors"
    safetensors(path, draw(shapes))
    assert (
        message(small, path)
        == f"""\
`{path}` cannot be mapped onto `small`:
  dense1.weight: 48×2 in the file, 2×48 in the spec
  2 in the file, 1 in the spec, of weight 3×3×1×1, bias 3:
      file: body.2, body.3
      spec: conv2
  body.0 (weight 3×2×3×3, bias 3) is in the file, and has no counterpart in the spec
  extra (weight 7×7) is in the file, and has no counterpart in the spec
  conv1 (weight 3×2×3×3) is in the spec, and has no counterpart in the file; `body.0` has this weight, with a bias
  scale1 (weight 3) is in the spec, and has no counterpart in the file
  help: --ignore NAME leaves out what the spec does not have
  help: --rename OLD=NEW settles a layer: OLD begins its names in the file, NEW is the layer of the spec"""
    )


def test_a_shortcut_that_comes_first_is_not_taken_for_the_main_branch():
    """Three batch norms of one shape; the convolutions, which differ, show that their order is not the spec's."""
    found = shapes_of(
        [
            ("unit.conv1", "", conv(8, 4, 3)),
            ("unit.bn1", "", batch_norm(8)),
            ("unit.conv2", "", conv(8, 8, 3)),
            ("unit.bn2", "", batch_norm(8)),
            ("unit.downsample.0", "", conv(8, 4, 1)),
            ("unit.downsample.1", "", batch_norm(8)),
        ]
    )
    main = """
        main:
          - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm}
          - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm}"""
    skip = """
        skip: [conv: {channels: 8, kernel: 1, norm: batch_norm}]"""
    spec = "cnnspec: 1\ninput: [4, 5, 5]\nlayers:\n  - add:"
    for branches, fits in ((main + skip, True), (skip + main, False)):
        graph = package.loads(spec + branches).graph
        mapping, faults = alignment.align({name: p.shape for name, p in graph.parameters.items()}, found)
        assert bool(mapping) == fits
        assert faults[:1] == ([] if fits else [
            "  3, which the file has in another order, of weight 8, bias 8, running_mean 8, running_var 8:\n"
            "      file: unit.bn1, unit.bn2, unit.downsample.1\n"
            "      spec: batch_norm1, batch_norm2, batch_norm3"
        ])  # fmt: skip


def test_equal_heads_are_not_chosen_from():
    graph = package.loads("cnnspec: 1\ninput: [3]\nlayers: [dense: 2]").graph
    heads = shapes_of((name, "", linear(2, 3)) for name in ("a", "b"))
    expected = {name: parameter.shape for name, parameter in graph.parameters.items()}
    faults = alignment.align(expected, heads)[1]
    assert "  help: --ignore NAME leaves out what the spec does not have" in faults


def test_a_head_of_other_classes_is_not_to_be_left_out():
    graph = package.loads("cnnspec: 1\ninput: [3]\nlayers: [dense: 2]").graph
    expected = {name: parameter.shape for name, parameter in graph.parameters.items()}
    faults = alignment.align(expected, shapes_of([("fc", "", linear(10, 3))]))[1]
    assert faults[0] == "  fc (weight 10×3, bias 10) is in the file, and has no counterpart in the spec"
    assert not any("--ignore fc" in fault for fault in faults)


def test_numbers_that_are_not_finite_are_refused(tmp_path, small):
    arrays = draw(THEIRS)
    arrays["gain"][0] = np.nan
    safetensors(tmp_path / "w.safetensors", arrays)
    assert "scale1.weight: 1 of 3 numbers is NaN or infinite" in message(small, tmp_path / "w.safetensors")


# PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs PyTorch: pip install cnnspec[torch]")


def test_checkpoints_and_their_prefixes(tmp_path, small, torch):
    arrays = draw(THEIRS)
    state = {f"module.{name}": torch.tensor(array) for name, array in arrays.items()}
    state["module.head.bias"] = state["module.head.bias"].to(torch.bfloat16)
    path = tmp_path / "w.pth"
    torch.save({"epoch": 3, "best": torch.tensor(0.5), "state_dict": state}, path)
    found = conversion.convert(small, path)
    assert {pair.name: pair.source for pair in found.pairs} == OURS
    assert (found.arrays["conv1.weight"] == arrays["body.0.weight"]).all()
    assert found.arrays["dense1.bias"] == pytest.approx(arrays["head.bias"], rel=1 / 256)  # 8 bits of mantissa
    assert found.notes[:2] == (
        "taken from the checkpoint's `state_dict`",
        "the prefix `module.` is left out of every name",
    )


class Evil:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_file_that_would_run_code_is_not_read(tmp_path, small, torch, capsys):
    path = tmp_path / "w.pth"
    torch.save({"model": Evil()}, path)
    assert "holds Python objects beside tensors, which could run code" in message(small, path)
    path.write_bytes(pickle.dumps(Evil()))
    assert "holds Python objects beside tensors, which could run code" in message(small, path)
    assert capsys.readouterr().out == ""


def test_files_that_are_no_state_dict(tmp_path, small, torch):
    path = tmp_path / "w.pt"
    torch.save([torch.zeros(1)], path)
    assert message(small, path) == f"`{path}` holds a list, not a state_dict"
    path.write_bytes(b"PK\x03\x04 no more")
    assert f"`{path}` cannot be read: it is cut short" in message(small, path)
    assert message(small, tmp_path / "no.pth") == f"there is no file `{tmp_path}/no.pth`"


def test_without_pytorch_the_extra_is_named(tmp_path, small, monkeypatch):
    (tmp_path / "w.pth").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "install the extra `torch` (pip install 'cnnspec[torch]')" in message(small, tmp_path / "w.pth")


def test_resnet18_of_torch_and_of_the_spec_are_one_function(tmp_path, torch):
    """A module with torchvision's structure and names, random weights and statistics; through the file and back."""
    nn = torch.nn

    class BasicBlock(nn.Module):
        def __init__(self, before, c, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, c, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(c)
            self.conv2 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(c)
            self.downsample = None
            if before != c:
                self.downsample = nn.Sequential(nn.Conv2d(before, c, 1, stride, bias=False), nn.BatchNorm2d(c))

        def forward(self, x):
            y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            return (y + (x if self.downsample is None else self.downsample(x))).relu()

    class ResNet18(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            before = 64
            for n, c in enumerate((64, 128, 256, 512), 1):
                units = [BasicBlock(before, c, 1 if n == 1 else 2), BasicBlock(c, c, 1)]
                setattr(self, f"layer{n}", nn.Sequential(*units))
                before = c
            self.fc = nn.Linear(512, 1000)

        def forward(self, x):
            x = self.maxpool(self.bn1(self.conv1(x)).relu())
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    torch.manual_seed(0)
    module = ResNet18()
    for name, tensor in module.state_dict().items():
        if ("bn" in name or "downsample.1" in name) and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    path = tmp_path / "resnet18.pth"
    torch.save(module.state_dict(), path)
    graph = package.load("resnet18", input_shape=(3, 64, 64)).graph
    found = conversion.convert(graph, path)
    x = np.random.default_rng(0).normal(size=(2, 3, 64, 64))
    with torch.inference_mode():
        expected = module.double().eval()(torch.tensor(x)).numpy()
    y = package.build(graph, weights=found.arrays, dtype="float64").predict(x)
    assert np.abs(y - expected).max() <= 1e-9 * np.abs(expected).max()


# The commands


def test_attention_takes_the_names_of_torch(tmp_path, torch):
    """By name where the layers have the same, by order where they have not; both networks are one function."""
    block = torch.nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    torch.save(block.state_dict(), tmp_path / "block.pt")
    spec = package.loads(
        """
input: {channels: 8, length: 5}
layers:
  - add: {main: [layer_norm: {name: norm1}, attention: {heads: 2, name: self_attn}], skip: []}
  - add:
      main:
        - layer_norm: {name: norm2}
        - conv: {name: linear1, channels: 16, kernel: 1, activation: gelu}
        - conv: {name: linear2, channels: 8, kernel: 1}
      skip: []
"""
    )
    found = conversion.convert(spec.graph, tmp_path / "block.pt")
    assert not any(pair.renamed for pair in found.pairs)
    renamed = {f"encoder.{name}".replace("self_attn", "mha"): value for name, value in block.state_dict().items()}
    torch.save(renamed, tmp_path / "renamed.pt")
    ordered = conversion.convert(spec.graph, tmp_path / "renamed.pt")
    x = np.random.default_rng(0).normal(size=(2, 8, 5)).astype(np.float32)
    with torch.no_grad():
        expected = block.eval()(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).numpy()
    for converted in (found, ordered):
        y = package.build(spec.graph, weights=converted.arrays).predict(x)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_convert_show_run(cnnspec, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    save_file(draw(THEIRS), tmp_path / "theirs.safetensors")
    result = cnnspec("weights", "convert", "small.yaml", "--from", "theirs.safetensors", "-o", "out.safetensors")
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
small: weights of theirs.safetensors
the file holds its tensors sorted by name, not as the model defines them: they are ordered 2 before 10
1 × `num_batches_tracked` left out: inference does not use it, and the spec has none

file                 spec                        shape  note
───────────────────────────────────────────────────────────────────────────
body.0.weight        conv1.weight              3×2×3×3
body.1.weight        batch_norm1.weight              3
body.1.bias          batch_norm1.bias                3
body.1.running_mean  batch_norm1.running_mean        3
body.1.running_var   batch_norm1.running_var         3
body.2.weight        conv2.weight              3×3×1×1  reshaped from 3×3
body.2.bias          conv2.bias                      3
gain                 scale1.weight                   3  reshaped from 3×1×1
head.weight          dense1.weight                2×48
head.bias            dense1.bias                     2

10 tensors, 179 numbers written to out.safetensors
"""
    )
    assert weights.metadata(tmp_path / "out.safetensors") == {"spec": "small", "source": "theirs.safetensors"}
    assert cnnspec("run", "small.yaml", "--weights", "out.safetensors").exit_code == 0
    shown = cnnspec("weights", "show", "out.safetensors").stdout
    assert "conv2.weight              3×3×1×1  F32\n" in shown
    assert shown.endswith("source: theirs.safetensors\nspec: small\n")


def test_as_json(cnnspec, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    save_file(draw(THEIRS), tmp_path / "theirs.safetensors")
    options = ("--rename", "body.0=conv1", "--format", "json")
    arguments = ("small.yaml", "--from", "theirs.safetensors", "-o", "out.safetensors")
    told = json.loads(cnnspec("weights", "convert", *arguments, *options).stdout)
    assert {tensor["name"]: tensor["source"] for tensor in told["tensors"]} == OURS
    assert told["tensors"][0] == {
        "source": "body.0.weight",
        "name": "conv1.weight",
        "source_shape": [3, 2, 3, 3],
        "shape": [3, 2, 3, 3],
        "renamed": True,
        "by_name": True,
    }
    told = json.loads(cnnspec("weights", "show", "out.safetensors", "--format", "json").stdout)
    assert {tensor["name"]: tensor["dtype"] for tensor in told["tensors"]} == dict.fromkeys(OURS, "F32")
    assert told["metadata"] == {"source": "theirs.safetensors", "spec": "small"}


def test_a_refused_file_leaves_no_output(cnnspec, tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    save_file(draw({"a.weight": (1, 2)}), tmp_path / "theirs.safetensors")
    result = cnnspec("weights", "convert", "small.yaml", "--from", "theirs.safetensors", "-o", "out.safetensors")
    assert result.exit_code == 1
    assert "`theirs.safetensors` cannot be mapped onto `small`" in result.stderr
    assert not (tmp_path / "out.safetensors").exists()
    arguments = ("small.yaml", "--from", "theirs.safetensors", "-o", "out.safetensors", "--rename", "a")
    result = cnnspec("weights", "convert", *arguments)
    assert result.exit_code == 2
    assert "--rename takes OLD=NEW, not 'a'" in result.stderr

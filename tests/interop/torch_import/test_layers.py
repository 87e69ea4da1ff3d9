"""PyTorch modules as layers: the source of each network of the conformance table comes back as the same network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec import rng
from cnnspec.errors import ImportingError
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.interop.source.names import class_name
from cnnspec.interop.source.pytorch import torch_source
from cnnspec.testing import CASES

torch = pytest.importorskip("torch")

NOTHING = {
    "spatial-dropout-image", "spatial-dropout-vector", "stochastic-depth-image", "stochastic-depth-vector",
    "flatten-vector", "dropout-image", "dropout-vector", "dropout-sequence", "dropout-volume", "pad-nothing",
    "crop-whole", "reshape-same", "permute-same", "adaptive-avg-pool-same-size",
}  # fmt: skip
"""Networks that compute nothing at inference, of which a trace has no operation."""
UNFOLDED = {
    "avg-pool-padding-odd", "avg-pool-padding-four-sides", "avg-pool-same", "avg-pool-same-upper",
    "avg-pool-same-lower", "avg-pool-ceil-padding", "avg-pool-padding-four-sides-uncounted",
    "avg-pool-same-uncounted", "avg-pool-ceil-padding-uncounted", "resize-volume-cubic", "lp-pool-plain",
    "lp-pool-one", "lp-pool-three", "lp-pool-ceil", "lp-pool-ceil-overhang", "lp-pool-ceil-dropped",
    "lp-pool-dilated", "lp-pool-sequence", "lp-pool-volume",
    "avg-pool-sequence-padding-odd", "avg-pool-volume-padding-odd", "avg-pool-volume-uncounted",
    "avg-pool-dilated-padding", "avg-pool-dilated-ceil", "avg-pool-dilated-uncounted", "avg-pool-dilated",
}  # fmt: skip
"""Networks whose source unfolds its windows by hand, since PyTorch has no such pool, or has more axes than a layer."""
LAYERS = [case for case in CASES if not case.train]


def module_of(graph: Graph) -> Any:
    """The module of a network's source, with weights that leave nothing at rest."""
    spec = Spec(graph.name, graph, {name: Input(shape=graph.by_name[name].shape) for name in graph.inputs})
    names: dict[str, Any] = {}
    exec(compile(torch_source(spec), "net.py", "exec"), names)
    module = names[class_name(spec.name)]()
    state = {}
    for name, p in graph.parameters.items():
        array = rng.stream(0, "import", name).random(p.shape) + 0.5 if p.fill is not None else None
        state[name] = torch.from_numpy(rng.stream(0, "import", name).random(p.shape) - 0.5 if array is None else array)
    module.load_state_dict(state, strict=False)
    return module


@pytest.mark.parametrize("case", LAYERS, ids=[case.name for case in LAYERS])
def test_a_network_of_the_conformance_table_comes_back(case: Any) -> None:
    graph = case.graph()
    shapes = [graph.by_name[name].shape for name in graph.inputs]
    module = module_of(graph)
    if case.name in NOTHING | UNFOLDED:
        with pytest.raises(ImportingError, match="no layers" if case.name in NOTHING else "without counterpart"):
            cnnspec.from_torch(module, shapes)
        return
    found = cnnspec.from_torch(module, shapes)
    assert found.difference is not None
    ends = [[g.by_name[name].shape for name in g.outputs] for g in (found.spec.graph, graph)]
    assert ends[0] == ends[1]
    assert cnnspec.loads(found.text).graph.parameters.keys() == found.arrays.keys()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet", None), ("resnet18", (3, 33, 33)), ("mobilenet_v2", (3, 32, 32)), ("shufflenet_v2_x1_0", (3, 32, 32)),
        ("googlenet", (3, 32, 32)), ("squeezenet1_1", (3, 40, 40)), ("unet_padded", (1, 32, 32)), ("m5", None),
        ("efficientnet_b0", (3, 32, 32)), ("densenet121", (3, 32, 32)), ("nin", None), ("r3d_18", (3, 4, 16, 16)),
        ("convnext_tiny", (3, 32, 32)), ("siamese", None),
    ],
)  # fmt: skip
def test_a_bundled_network_comes_back_with_its_numbers_and_names(name: str, shape: Any) -> None:
    spec = cnnspec.load(name, input_shape=shape)
    graph = spec.graph
    names: dict[str, Any] = {}
    exec(compile(torch_source(spec), "net.py", "exec"), names)
    module = names[class_name(spec.name)]()
    found = cnnspec.from_torch(module, [graph.by_name[key].shape for key in graph.inputs])
    assert trainable(found.spec.graph.nodes) == trainable(graph.nodes)
    assert macs(found.spec.graph.nodes) == macs(graph.nodes)
    state = {key for key in module.state_dict() if not key.endswith("num_batches_tracked")}
    assert state == found.arrays.keys()
    again = cnnspec.loads(found.text).graph
    assert {key: p.shape for key, p in again.parameters.items()} == {key: a.shape for key, a in found.arrays.items()}
    x = {key: np.zeros((1, *graph.by_name[key].shape), np.float32) for key in graph.inputs}
    y = cnnspec.build(again, weights=found.arrays).run(dict(zip(again.inputs, x.values(), strict=True)))
    assert [a.shape[1:] for a in y.values()] == [graph.by_name[key].shape for key in graph.outputs]

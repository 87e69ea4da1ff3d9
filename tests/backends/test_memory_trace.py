"""What layers keep for the backward pass, and the memory of training, beside the Torch backend on the device meta."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from cnnspec_torch.module import SpecModule
from memory_trace import AsOnCuda, traced_bytes

import cnnspec
from cnnspec.graph.costs import DTYPES
from cnnspec.graph.training import Adam, BinaryCrossEntropy, Dice, Lamb, Lion, RmsProp, Sgd, Train
from cnnspec.graph.training_memory import training_memory
from cnnspec.layers import LAYERS

LAYER_BY_LAYER = """
relu  relu6  leaky_relu  prelu  elu  selu  celu  gelu  silu  mish  sigmoid  hard_sigmoid  tanh  hard_swish  softplus
softsign  softmax  log_softmax  abs  exp  log  sqrt  power: 3  clip: {min: 0}  hard_tanh  thresholded_relu
conv: {channels: 8, kernel: 3, padding: same}  conv_transpose: {channels: 8, kernel: 2, stride: 2}
max_pool: 2  max_pool: {kernel: 3, stride: 1, padding: same}  avg_pool: 2  lp_pool: 2
global_avg_pool  global_max_pool  adaptive_avg_pool: 1  adaptive_avg_pool: 6  adaptive_max_pool: 6
batch_norm  layer_norm: {axes: all}  instance_norm  group_norm: 4  local_response_norm: 5  scale: 2
scale: {value: 2, learn: false}  shift: 1  position_embedding  attention: 2
dropout: 0.5  spatial_dropout: 0.5  stochastic_depth: 0.5
flatten  reshape: [8, -1]  permute: [height, channels, width]  depth_to_space: 2  space_to_depth: 2
upsample: 2  upsample: {scale: 2, mode: bilinear}  resize: [12, 12]  crop: [12, 12]  channel_shuffle: 4  slice: [0, 8]
pad: 2  pad: {padding: 2, mode: reflect}  pad: {padding: 2, mode: edge}  pad: {padding: 2, mode: circular}
reduce: {axes: channels, mode: mean}  reduce: {axes: channels, mode: max}  reduce: {axes: channels, mode: sum}
add: {a: [], b: [from: other]}  subtract: {a: [], b: [from: other]}  mean: {a: [], b: [from: other]}
concat: {a: [], b: [from: other]}  multiply: {a: [], b: [from: other]}  divide: {a: [], b: [from: other]}
maximum: {a: [], b: [from: other]}  minimum: {a: [], b: [from: other]}  matmul: {a: [], b: [from: other]}
"""
LAYERS_ALONE = [text for line in LAYER_BY_LAYER.strip().splitlines() for text in line.split("  ")]
ELSEWHERE = {"dense", "rms_norm", "log_sigmoid", "input"}
"""`dense` takes no image; meta composes `rms_norm` of several operations and keeps a buffer for `log_sigmoid`, where
CUDA has one kernel, and none."""


def kept(text: str) -> tuple[int, int]:
    """Return the bytes that autograd saves of a layer for one sample, and those that its class states."""
    n = 32
    names = ("input", "other") if "other" in text else ("input",)
    inputs = "inputs: {input: [16, 24, 24], other: [16, 24, 24]}" if len(names) > 1 else "input: [16, 24, 24]"
    graph = cnnspec.loads(f"{inputs}\nlayers:\n  - {text}\n").graph
    node = graph.output
    module = SpecModule(graph, torch.device("meta"))
    weights = {tensor.untyped_storage()._cdata for tensor in module.arrays().values()}
    xs = [torch.empty(n, 16, 24, 24, device="meta", requires_grad=True) for _ in names]
    masks = {}
    if node.draws:
        masks = {node.name: torch.empty(n, *node.layer.mask_shape(node.shape), device="meta") >= 0}
    saved: dict[int, Any] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage  # which keeps its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), AsOnCuda(None):
        y = module(*xs, masks=masks)
    assert y.requires_grad
    found = sum(storage.nbytes() for address, storage in saved.items() if address not in weights)
    layer, shapes = node.layer, node.in_shapes
    stated = layer.saved_bytes(shapes, node.inferred, 4) + 4 * math.prod(node.shape) * layer.saves_output
    stated += 4 * sum(map(math.prod, shapes)) * layer.saves_input
    stated += math.prod(layer.mask_shape(node.shape)) if node.draws else 0
    return found // n, stated


@pytest.mark.parametrize("text", LAYERS_ALONE)
def test_layers_state_what_they_keep(text: str) -> None:
    found, stated = kept(text)
    assert stated == pytest.approx(found, rel=0.05, abs=64)  # vectors of channels are not stated


def test_every_kind_is_among_them() -> None:
    assert {text.partition(":")[0] for text in LAYERS_ALONE} == LAYERS.keys() - ELSEWHERE


def ratio(name: str, batch: int, dtype: str, train: Train, **options: Any) -> float:
    """Return the predicted memory of a training step by that of its trace."""
    spec = cnnspec.load(name)
    recompute = options.get("recompute", ())
    predicted = training_memory(spec.trained_graph, DTYPES[dtype], train, recompute).bytes(
        -(-batch // train.accumulate)
    )
    return predicted / traced_bytes(spec, batch, dtype, train, **options)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "batch"), [("lenet", 1), ("resnet18", 32), ("vgg11", 32), ("vit_tiny", 8), ("unet", 2)]
)
def test_a_step_takes_what_is_predicted(name: str, batch: int, dtype: str) -> None:
    assert ratio(name, batch, dtype, Train(optimizer=Adam())) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "train",
    [
        Train(optimizer=Sgd()),
        Train(optimizer=Sgd(momentum=0.9, weight_decay=1e-4)),
        Train(optimizer=RmsProp()),
        Train(optimizer=Lion()),
        Train(optimizer=Lamb()),
        Train(optimizer=Adam(weight_decay=1e-4), ema=0.99),
        Train(accumulate=4),
    ],
    ids=["sgd", "momentum", "rmsprop", "lion", "lamb", "ema", "accumulate"],
)
def test_settings_of_training(train: Train) -> None:
    assert ratio("alexnet", 16, "float32", train) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("blocks", [("stage1*",), ("*",)])
def test_recomputed_blocks(blocks: tuple[str, ...], dtype: str) -> None:
    assert ratio("resnet18", 16, dtype, Train(), recompute=blocks) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shared_weights(dtype: str) -> None:
    assert ratio("siamese", 4, dtype, Train(loss=BinaryCrossEntropy())) == pytest.approx(1, abs=0.1)


def test_float64() -> None:
    assert ratio("lenet", 64, "float64", Train(optimizer=Adam())) == pytest.approx(1, abs=0.1)


def test_one_class_of_a_map() -> None:
    assert ratio("attention_unet", 2, "bfloat16", Train(loss=Dice())) == pytest.approx(1, abs=0.1)


def test_frozen_layers() -> None:
    text = (cnnspec.bundled.folder() / "resnet20.yaml").read_text("utf-8")
    spec = cnnspec.loads(f"{text}\ntrain: {{freeze: [conv1, stage1]}}\n")
    assert spec.train is not None
    predicted = training_memory(spec.trained_graph, 4, spec.train).bytes(64)
    assert predicted / traced_bytes(spec, 64, "float32") == pytest.approx(1, abs=0.1)

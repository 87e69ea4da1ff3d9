"""Attention that arrives as its products: one layer where it is exactly that, and its products where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cnnspec
from cnnspec.graph.costs import macs, trainable

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


def kinds(found: Any) -> list[str]:
    return [node.kind for node in found.spec.graph.nodes if node.inputs]


class Attention(nn.Module):
    """Attention as timm writes it: one projection, whose rows are q, k and v of the heads."""

    def __init__(self, scale: float = 0.5, axis: int = -1, fused: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24, bias=bias), nn.Linear(8, 8)
        self.scale, self.axis, self.fused = scale, axis, fused

    def forward(self, x: Any) -> Any:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q * self.scale @ k.transpose(-2, -1)).softmax(dim=self.axis) @ v
        return self.proj(y.transpose(1, 2).reshape(n, t, c))


class Patches(nn.Module):
    """A layer over the patches of an image."""

    def __init__(self, inner: Any, **options: Any) -> None:
        super().__init__()
        self.patch, self.inner, self.options = nn.Conv2d(3, 8, 4, 4), inner, options

    def forward(self, x: Any) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2)
        if isinstance(self.inner, nn.MultiheadAttention):
            return x + self.inner(x, x, x, **self.options)[0]
        return x + self.inner(x)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_one_projection_that_is_split_into_heads(fused: bool, bias: bool) -> None:
    found = cnnspec.from_torch(Patches(Attention(fused=fused, bias=bias)), (3, 12, 8))
    assert kinds(found).count("attention") == 1
    assert "matmul" not in kinds(found)
    layer = found.spec.graph.by_name["inner"].layer
    assert (layer.heads, layer.bias, layer.adds_output_bias) == (2, bias, True)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention_of_pytorch_keeps_the_names_of_its_weights(need_weights: bool) -> None:
    module = Patches(nn.MultiheadAttention(8, 2, batch_first=True), need_weights=need_weights)
    found = cnnspec.from_torch(module, (3, 12, 8))
    assert kinds(found).count("attention") == 1
    assert found.arrays.keys() == module.state_dict().keys()


def test_an_encoder_layer_of_pytorch() -> None:
    found = cnnspec.from_torch(Patches(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), (3, 12, 8))
    assert kinds(found).count("attention") == 1
    assert kinds(found).count("layer_norm") == 2


class Three(nn.Module):
    """Attention of three projections; `other` is what keys and values are of."""

    def __init__(self, cross: bool = False) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8, bias=i != 1) for i in range(4))
        self.cross = cross

    def forward(self, x: Any) -> Any:
        other = x * 2 if self.cross else x
        q, k, v = self.q(x), self.k(other), self.v(other)
        return self.out((q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v)


def test_three_projections_of_one_head() -> None:
    found = cnnspec.from_torch(Patches(Three()), (3, 12, 8))
    assert kinds(found).count("attention") == 1


@pytest.mark.parametrize("inner", [Attention(scale=0.4), Attention(axis=-2), Three(cross=True)])
def test_what_is_not_exactly_it_stays_its_products(inner: Any) -> None:
    found = cnnspec.from_torch(Patches(inner), (3, 12, 8))
    assert "attention" not in kinds(found)
    assert kinds(found).count("matmul") == 2


@pytest.mark.parametrize("name", ["vit_tiny"])
def test_a_vision_transformer_comes_back_from_its_export(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnx")
    graph = cnnspec.load(name, input_shape=(3, 32, 32)).graph
    cnnspec.export_onnx(graph, tmp_path / "model.onnx", verify=False)
    found = cnnspec.import_onnx(tmp_path / "model.onnx")
    assert (trainable(found.spec.graph.nodes), macs(found.spec.graph.nodes)) == (
        trainable(graph.nodes), macs(graph.nodes)
    )  # fmt: skip
    assert kinds(found) == [node.kind for node in graph.nodes if node.inputs]
    assert len(found.text.splitlines()) < 32

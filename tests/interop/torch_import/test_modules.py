"""PyTorch modules as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnnspec

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class Block(nn.Module):
    def __init__(self, c: int, o: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(depth)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), *(Block(32, 32) for _ in range(depth - 1)))
        self.layer3 = nn.Sequential(Block(32, 64, 2), *(Block(64, 64) for _ in range(depth - 1)))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def kinds(found: Any) -> list[str]:
    return [node.kind for node in found.spec.graph.nodes if node.inputs]


def made(forward: Any, **parts: Any) -> Any:
    """A module with this forward and these parts."""
    module = type("Made", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(module, name, part)
    return module


def test_names_of_modules_are_names_of_layers_and_a_state_dict_fits_as_it_is(tmp_path: Any) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    found = cnnspec.from_torch(ResNet(), (3, 32, 32))
    other = ResNet().eval()
    state = {name: t for name, t in other.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "other.safetensors")
    (tmp_path / "net.yaml").write_text(found.text)
    x = torch.randn(2, 3, 32, 32)
    y = cnnspec.build(tmp_path / "net.yaml", weights=tmp_path / "other.safetensors").predict(x.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(y, other(x).numpy(), rtol=1e-4, atol=1e-5)


def test_a_network_with_names_is_a_short_spec() -> None:
    found = cnnspec.from_torch(ResNet(depth=4), (3, 32, 32))
    assert len(found.text.splitlines()) < 50
    assert "residual: {name: layer1.$i}" in found.text


def test_without_names_of_modules_norms_are_part_of_their_layers() -> None:
    found = cnnspec.from_torch(ResNet(), (3, 32, 32), module_names=False)
    assert "norm: batch_norm, activation: relu" in found.text
    assert "conv1.weight" in found.arrays


def test_the_mode_of_each_part_is_as_before() -> None:
    module = ResNet()
    module.layer1.eval()
    cnnspec.from_torch(module, torch.zeros(1, 3, 16, 16))
    assert (module.training, module.layer1.training, module.layer2.training) == (True, False, True)


def test_dropout_and_local_response_norm_are_read_from_their_modules() -> None:
    parts = {"norm": nn.LocalResponseNorm(5, 2e-4, 0.7, 2.0), "drop": nn.Dropout(0.3), "fc": nn.Linear(128, 3)}
    module = made(lambda self, x: self.fc(self.drop(self.norm(x).flatten(1))), **parts)
    found = cnnspec.from_torch(module, (8, 4, 4))
    assert kinds(found) == ["local_response_norm", "dropout", "flatten", "dense"]
    norm, drop, _, _ = [node.layer for node in found.spec.graph.nodes if node.inputs]
    assert (norm.size, norm.alpha, norm.beta, norm.k, drop.rate) == (5, 2e-4, 0.7, 2.0, 0.3)


def test_several_inputs_and_outputs_keep_their_names() -> None:
    conv = nn.Conv2d(3, 4, 3)
    module = made(lambda self, left, right: {"sum": self.conv(left) + self.conv(right), "left": left * 2}, conv=conv)
    found = cnnspec.from_torch(module, [(3, 8, 8), torch.zeros(5, 3, 8, 8)])
    assert found.spec.graph.inputs == ("left", "right")
    assert found.spec.graph.output_names == ("sum", "left")
    assert list(found.spec.graph.shares.values()) == ["conv"]
    assert len(found.arrays) == 2


def test_a_class_token_is_a_border_and_a_position_embedding() -> None:
    def forward(self: Any, x: Any) -> Any:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(x[:, 0])

    module = made(forward, patch=nn.Conv2d(3, 6, 4, 4), head=nn.Linear(6, 2))
    module.token, module.positions = nn.Parameter(torch.randn(1, 1, 6)), nn.Parameter(torch.randn(1, 5, 6))
    found = cnnspec.from_torch(module, (3, 8, 8))
    assert kinds(found).count("position_embedding") == 1
    assert sum(array.size for array in found.arrays.values()) == 6 * 49 + 30 + 14


def test_a_border_of_minus_infinity_is_the_padding_of_its_pool() -> None:
    module = made(lambda self, x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2))
    found = cnnspec.from_torch(module, (3, 8, 8))
    assert kinds(found) == ["max_pool"]


def test_dense_blocks_that_join_all_before_are_nested() -> None:
    def forward(self: Any, x: Any) -> Any:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)

    layers = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.Conv2d(8 + 4 * i, 4, 3, 1, 1)) for i in range(6))
    found = cnnspec.from_torch(made(forward, layers=layers), (8, 6, 6))
    assert all(len(node.inputs) <= 2 for node in found.spec.graph.nodes)
    assert len(found.text.splitlines()) < 20


def test_code_in_place_and_views_are_followed() -> None:
    def forward(self: Any, x: Any) -> Any:
        y = self.conv(x)
        half = y[:, :2]
        half.mul_(3.0)
        y.clamp_(min=-1.0)
        return y + half.sum(1, keepdim=True)

    found = cnnspec.from_torch(made(forward, conv=nn.Conv2d(3, 4, 3)), (3, 8, 8))
    assert found.difference is not None


def test_weights_that_are_computed_are_computed_beforehand() -> None:
    conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    found = cnnspec.from_torch(made(lambda self, x: self.conv(x), conv=conv), (3, 8, 8))
    assert kinds(found) == ["conv"]
    np.testing.assert_allclose(found.arrays["conv.weight"], conv.weight.detach().numpy(), rtol=1e-6)


def test_half_precision_and_double_precision_come_in() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(dtype)
        found = cnnspec.from_torch(module, torch.zeros(1, 3, 8, 8, dtype=dtype))
        assert found.difference is not None


def test_outputs_that_do_not_depend_on_the_input_are_told() -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
            nn.init.constant_(self.conv.bias, -1e3)

        def forward(self, x: Any) -> Any:
            return self.head(torch.relu(self.conv(x)).mean((2, 3)))

    assert not cnnspec.from_torch(Dead(), (3, 8, 8)).varies
    assert cnnspec.from_torch(ResNet(), (3, 16, 16)).varies


def test_names_that_are_numbers_within_a_block() -> None:
    class Stage(nn.Sequential):
        def __init__(self, c: int, o: int) -> None:
            super().__init__(nn.Conv2d(c, o, 3, 2, 1), *(Block(o, o) for _ in range(3)))

    module = nn.Sequential()
    module.stages = nn.Sequential(Stage(3, 8), Stage(8, 16), Stage(16, 32))
    found = cnnspec.from_torch(module, (3, 32, 32))
    assert "name: stages.$i" in found.text
    assert len(found.text.splitlines()) < 35
    assert cnnspec.loads(found.text).graph.parameters.keys() == found.arrays.keys()


@pytest.mark.parametrize(
    ("forward", "layers"),
    [
        (lambda self, x: torch.max(x, x * 2), ["scale", "maximum"]),
        (lambda self, x: F.softplus(x, beta=0.5), ["softplus"]),
        (lambda self, x: F.glu(x, 1), ["slice", "slice", "sigmoid", "multiply"]),
        (lambda self, x: x.var((2, 3), unbiased=False), ["adaptive_avg_pool", "subtract", "power", "global_avg_pool"]),
        (lambda self, x: x.std((2, 3), keepdim=True).sqrt(), None),
        (lambda self, x: {"a": torch.relu(x), "b": torch.relu(x)}, ["relu", "relu"]),
        (lambda self, x: F.conv2d(x, torch.ones(4, 4, 3, 3)), ["conv"]),  # of float32, whatever the module's type
    ],
)
def test_functions(forward: Any, layers: list[str] | None) -> None:
    found = cnnspec.from_torch(made(forward), (4, 6, 6))
    assert found.difference is not None
    assert layers in (None, kinds(found))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_are_computed_before_each_call() -> None:
    conv = torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    found = cnnspec.from_torch(made(lambda self, x: self.conv(x), conv=conv), (3, 8, 8))
    assert kinds(found) == ["conv"]
    assert torch.isfinite(conv(torch.zeros(1, 3, 8, 8))).all()

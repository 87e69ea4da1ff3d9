"""Functions and classes that stand in a generated file where a layer needs them: what torch.nn has no name for."""

from __future__ import annotations

SCALE = '''
class Scale(nn.Module):
    """A learned factor for each channel: x [n, c, ...] -> y [n, c, ...]."""

    def __init__(self, channels: int, value: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.reshape(-1, *[1] * (x.ndim - 2))
'''

SHIFT = '''
class Shift(nn.Module):
    """A learned number that is added to each channel: x [n, c, ...] -> y [n, c, ...]."""

    def __init__(self, channels: int, value: float = 0.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.reshape(-1, *[1] * (x.ndim - 2))
'''

POSITION_EMBEDDING = '''
class PositionEmbedding(nn.Module):
    """A learned number for each channel at each position, which is added."""

    def __init__(self, *shape: int, std: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(std * torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight
'''

ATTENTION = '''
class Attention(nn.Module):
    """Multi-head self-attention over all positions: x [n, c, ...] -> y [n, c, ...]."""

    def __init__(self, channels: int, heads: int, bias: bool = True, output_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * channels, channels)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels)) if bias else None
        self.out_proj = nn.Linear(channels, channels, output_bias)

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.linear(x.flatten(2).transpose(1, 2), self.in_proj_weight, self.in_proj_bias)
        q, k, v = tokens.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.out_proj(seen)
        return out.transpose(1, 2).reshape(x.shape)
'''

MODULES = '''
class Modules(nn.Module):
    """Modules by name, of which nn.ModuleDict would refuse one: a method has that name, too."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, name: str) -> nn.Module:
        module = self._modules[name]
        assert module is not None
        return module
'''

DROP_PATH = '''
def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Drop whole samples at random in training, and scale up those that stay."""
    if not training:
        return x
    kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * kept / (1 - rate)
'''

TAPS = '''
def taps(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """Return the elements in each window along a new last axis: x [n, c, *size] -> y [n, c, *out, taps]."""
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        x = x.unfold(axis, (k - 1) * d + 1, s)[..., ::d]
    return x.flatten(2 + len(kernel))
'''

AVG_POOL = '''
def avg_pool(
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    extra: tuple[int, ...],
    pads: tuple[int, ...],
    count_padding: bool,
) -> Tensor:
    """Return the mean of each window; what lies beyond the padding, and the padding if asked for, does not count."""
    padding = [n for i in reversed(range(len(kernel))) for n in pads[2 * i : 2 * i + 2]]
    beyond = [n for e in reversed(extra) for n in (0, e)]
    ones = F.pad(torch.ones_like(x[:1, :1]), padding, value=float(count_padding))
    total, count = (taps(F.pad(t, beyond), kernel, stride, dilation).sum(-1) for t in (F.pad(x, padding), ones))
    return total / count
'''

LP_POOL = '''
def lp_pool(x: Tensor, p: int, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """Return the p-norm of each window."""
    norm: Tensor = torch.linalg.vector_norm(taps(x, kernel, stride, dilation), p, -1)
    return norm
'''

RESIZE = '''
def resize(
    x: Tensor,
    size: tuple[int, ...],
    steps: list[Fraction],
    half_pixel: bool,
    mode: str,
    rounding: str = "",
    a: float = -0.75,
) -> Tensor:
    """Resample each axis at multiples of its step; beyond an end lies its last number."""
    for axis, (out, step) in enumerate(zip(size, steps, strict=True), 2):
        shift = (step - 1) / 2 if half_pixel else Fraction(0)
        taps = [resize_taps(i * step + shift, mode, rounding, a) for i in range(out)]
        last = x.shape[axis] - 1
        parts = []
        for tap in zip(*taps, strict=True):
            index = torch.tensor([min(max(i, 0), last) for i, _ in tap], device=x.device)
            weight = torch.tensor([w for _, w in tap], device=x.device, dtype=x.dtype)
            parts.append(x.index_select(axis, index) * weight.reshape(-1, *[1] * (x.ndim - 1 - axis)))
        x = torch.stack(parts).sum(0)
    return x


def resize_taps(place: Fraction, mode: str, rounding: str, a: float) -> list[tuple[int, float]]:
    """Return the elements that a sample at a place is made of, each with its weight."""
    if mode == "nearest":
        half = {"round_prefer_floor": Fraction(-1, 2), "round_prefer_ceil": Fraction(1, 2)}.get(rounding, Fraction(0))
        up = rounding in ("ceil", "round_prefer_floor")
        return [(math.ceil(place + half) if up else math.floor(place + half), 1.0)]
    first = math.floor(place)
    t = float(place - first)
    if mode == "linear":
        return [(first, 1 - t), (first + 1, t)]
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + t, 2 - t)]
    return [(first - 1, far[0]), (first, near[0]), (first + 1, near[1]), (first + 2, far[1])]
'''

HELPERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Scale": (SCALE, ()),
    "Shift": (SHIFT, ()),
    "PositionEmbedding": (POSITION_EMBEDDING, ()),
    "Attention": (ATTENTION, ()),
    "Modules": (MODULES, ()),
    "drop_path": (DROP_PATH, ()),
    "taps": (TAPS, ()),
    "avg_pool": (AVG_POOL, ("taps",)),
    "lp_pool": (LP_POOL, ("taps",)),
    "resize": (RESIZE, ()),
}
"""The code of each, and what else it needs."""

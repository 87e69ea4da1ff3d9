"""Functions and classes that stand in a generated file where a layer needs them: what Keras has no name for."""

from __future__ import annotations

SCALE = '''
@keras.saving.register_keras_serializable("cnnspec")
class Scale(layers.Layer):
    """A learned factor for each channel: x [n, ..., c] -> y [n, ..., c]."""

    def __init__(self, value: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value

    def build(self, input_shape: tuple[int, ...]) -> None:
        initial = keras.initializers.Constant(self.value)
        self.weight = self.add_weight(shape=input_shape[-1:], initializer=initial, name="weight")

    def call(self, x: KerasTensor) -> KerasTensor:
        return x * self.weight

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}
'''

SHIFT = '''
@keras.saving.register_keras_serializable("cnnspec")
class Shift(layers.Layer):
    """A learned number that is added to each channel: x [n, ..., c] -> y [n, ..., c]."""

    def __init__(self, value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value

    def build(self, input_shape: tuple[int, ...]) -> None:
        initial = keras.initializers.Constant(self.value)
        self.bias = self.add_weight(shape=input_shape[-1:], initializer=initial, name="bias")

    def call(self, x: KerasTensor) -> KerasTensor:
        return x + self.bias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}
'''

POSITION_EMBEDDING = '''
@keras.saving.register_keras_serializable("cnnspec")
class PositionEmbedding(layers.Layer):
    """A learned number for each channel at each position, which is added."""

    def __init__(self, std: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.std = std

    def build(self, input_shape: tuple[int, ...]) -> None:
        initial = keras.initializers.RandomNormal(stddev=self.std)
        self.weight = self.add_weight(shape=input_shape[1:], initializer=initial, name="weight")

    def call(self, x: KerasTensor) -> KerasTensor:
        return x + self.weight

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "std": self.std}
'''

CHANNEL_SHUFFLE = '''
def channel_shuffle(x: KerasTensor, groups: int) -> KerasTensor:
    """Interleave the channels of the groups."""
    *size, channels = x.shape[1:]
    x = ops.reshape(x, (-1, *size, groups, channels // groups))
    return ops.reshape(ops.swapaxes(x, -1, -2), (-1, *size, channels))
'''

LOCAL_RESPONSE_NORM = '''
def local_response_norm(
    x: KerasTensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> KerasTensor:
    """Divide by a power of the sum of squares of the channels around each: AlexNet, section 3.3."""
    pads = [*[(0, 0)] * (len(x.shape) - 1), (size // 2, (size - 1) // 2)]
    squares = ops.pad(x * x, pads)
    total = sum(squares[..., i : i + x.shape[-1]] for i in range(size))
    return x / (k + alpha / size * total) ** beta
'''

BORDER = '''
def border(x: KerasTensor, pads: tuple[tuple[int, int], ...], mode: str) -> KerasTensor:
    """Put a border around x: its mirror image (reflect), its outermost numbers (edge), or its other side (circular)."""
    for axis, (before, after) in enumerate(pads, 1):
        last = x.shape[axis] - 1
        places = range(-before, last + 1 + after)
        if mode == "circular":
            index = [i % (last + 1) for i in places]
        elif mode == "edge":
            index = [min(max(i, 0), last) for i in places]
        else:
            index = [last - abs(last - abs(i)) for i in places]
        x = ops.take(x, index, axis=axis)
    return x
'''

SPREAD = '''
def spread(x: KerasTensor, strides: tuple[int, ...], pads: tuple[tuple[int, int], ...]) -> KerasTensor:
    """Put stride - 1 zeros between the elements along each axis, and zeros at its ends; a negative number cuts."""
    for axis, (stride, (before, after)) in enumerate(zip(strides, pads, strict=True), 1):
        x = ops.moveaxis(x, axis, -1)
        size = (x.shape[-1] - 1) * stride + 1
        zeros = [(0, 0)] * len(x.shape)
        x = ops.reshape(ops.pad(x[..., None], [*zeros, (0, stride - 1)]), (-1, *x.shape[1:-1], size + stride - 1))
        x = ops.pad(x[..., max(-before, 0) : size + min(after, 0)], [*zeros[:-1], (max(before, 0), max(after, 0))])
        x = ops.moveaxis(x, -1, axis)
    return x
'''

TAPS = '''
def taps(x: KerasTensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> KerasTensor:
    """Return the elements in each window along a new first axis: x [n, *size, c] -> y [taps, n, *out, c]."""
    axes = []
    for size, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True):
        end = size - (k - 1) * d
        axes.append([slice(i * d, i * d + end, s) for i in range(k)])
    return ops.stack([x[(slice(None), *place)] for place in itertools.product(*axes)])
'''

AVERAGE_POOL = '''
def average_pool(
    x: KerasTensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    extra: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    count_padding: bool,
) -> KerasTensor:
    """Return the mean of each window; what lies beyond the padding, and the padding if asked for, does not count."""
    around, beyond = [(0, 0), *pads, (0, 0)], [(0, 0), *((0, e) for e in extra), (0, 0)]
    ones = ops.pad(ops.ones_like(x[..., :1]), around, constant_values=float(count_padding))
    padded = (ops.pad(t, beyond) for t in (ops.pad(x, around), ones))
    total, count = (ops.sum(taps(t, kernel, stride, dilation), axis=0) for t in padded)
    return total / count
'''

LP_POOL = '''
def lp_pool(
    x: KerasTensor, p: int, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> KerasTensor:
    """Return the p-norm of each window."""
    return ops.sum(taps(ops.abs(x) ** p, kernel, stride, dilation), axis=0) ** (1 / p)
'''

ADAPTIVE_POOL = '''
def adaptive_pool(x: KerasTensor, size: tuple[int, ...], reduce: Callable[..., KerasTensor]) -> KerasTensor:
    """Return the mean (or maximum) of windows that divide each axis into so many parts."""
    for axis, out in enumerate(size, 1):
        n = x.shape[axis]
        windows = [range(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
        parts = [reduce(ops.take(x, [*window], axis=axis), axis=axis, keepdims=True) for window in windows]
        x = ops.concatenate(parts, axis=axis)
    return x
'''

RESIZE = '''
@keras.saving.register_keras_serializable("cnnspec")
class Resize(layers.Layer):
    """Resample each axis at multiples of its step, a fraction; beyond an end lies its last number."""

    def __init__(
        self,
        size: tuple[int, ...],
        steps: list[tuple[int, int]],
        half_pixel: bool,
        mode: str,
        rounding: str = "",
        a: float = -0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.steps, self.half_pixel, self.mode = size, steps, half_pixel, mode
        self.rounding, self.a = rounding, a

    def call(self, x: KerasTensor) -> KerasTensor:
        for axis, (out, step) in enumerate(zip(self.size, self.steps, strict=True), 1):
            last = x.shape[axis] - 1
            shift = (Fraction(*step) - 1) / 2 if self.half_pixel else Fraction(0)
            taps = [self.taps(i * Fraction(*step) + shift) for i in range(out)]
            parts = []
            for tap in zip(*taps, strict=True):
                index = [min(max(i, 0), last) for i, _ in tap]
                weight = ops.convert_to_tensor([w for _, w in tap], x.dtype)
                shape = (-1, *[1] * (len(x.shape) - 1 - axis))
                parts.append(ops.take(x, index, axis=axis) * ops.reshape(weight, shape))
            x = sum(parts)
        return x

    def taps(self, place: Fraction) -> list[tuple[int, float]]:
        """Return the elements that a sample at a place is made of, each with its weight."""
        if self.mode == "nearest":
            half = {"round_prefer_floor": Fraction(-1, 2), "round_prefer_ceil": Fraction(1, 2)}
            found = place + half.get(self.rounding, Fraction(0))
            up = self.rounding in ("ceil", "round_prefer_floor")
            return [(math.ceil(found) if up else math.floor(found), 1.0)]
        first = math.floor(place)
        t = float(place - first)
        if self.mode == "linear":
            return [(first, 1 - t), (first + 1, t)]
        a = self.a
        near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
        far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + t, 2 - t)]
        return [(first - 1, far[0]), (first, near[0]), (first + 1, near[1]), (first + 2, far[1])]

    def get_config(self) -> dict[str, Any]:
        own = ("size", "steps", "half_pixel", "mode", "rounding", "a")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
'''

HELPERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Scale": (SCALE, ()),
    "Shift": (SHIFT, ()),
    "PositionEmbedding": (POSITION_EMBEDDING, ()),
    "channel_shuffle": (CHANNEL_SHUFFLE, ()),
    "local_response_norm": (LOCAL_RESPONSE_NORM, ()),
    "border": (BORDER, ()),
    "spread": (SPREAD, ()),
    "taps": (TAPS, ()),
    "average_pool": (AVERAGE_POOL, ("taps",)),
    "lp_pool": (LP_POOL, ("taps",)),
    "adaptive_pool": (ADAPTIVE_POOL, ()),
    "Resize": (RESIZE, ()),
}
"""The code of each, and what else it needs."""

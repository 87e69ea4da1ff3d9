"""Cases of the activations, each over an image and over a vector."""

from __future__ import annotations

from cnnspec.testing.case import IMAGE, VECTOR, Case, rows

FUNCTIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "leaky_relu-slope": "leaky_relu: 0.3",
    "prelu": "prelu",
    "prelu-shared": "prelu: {shared: true, slope: 0.1}",
    "elu": "elu",
    "elu-alpha": "elu: 0.5",
    "selu": "selu",
    "gelu": "gelu",
    "gelu-tanh": "gelu: tanh",
    "silu": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "hard_sigmoid": "hard_sigmoid",
    "hard_sigmoid-slope": "hard_sigmoid: {slope: 0.2, offset: 0.6}",
    "tanh": "tanh",
    "hard_swish": "hard_swish",
    "softplus": "softplus",
    "softplus-beta": "softplus: 3.0",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "clip": "clip: {min: -1.5, max: 2}",
    "clip-below": "clip: {min: 0.25}",
    "clip-above": "clip: {max: 0.25}",
    "hard_tanh": "hard_tanh",
    "hard_tanh-limits": "hard_tanh: {min: -2, max: 0.5}",
    "thresholded_relu": "thresholded_relu",
    "thresholded_relu-alpha": "thresholded_relu: -0.6",
    "celu": "celu",
    "celu-alpha": "celu: 2.0",
    "softsign": "softsign",
    "log_sigmoid": "log_sigmoid",
    "abs": "abs",
    "exp": "exp",
    "power": "power: 2",
    "power-cube": "power: 3",
    "power-one": "power: 1",
}

POSITIVE = {
    "log": "log",
    "sqrt": "sqrt",
    "power-root": "power: 0.25",
    "power-reciprocal": "power: -1",
}
"""Functions that are not defined for all numbers."""

CASES = [
    *(
        Case(f"{name}-{form}".replace("_", "-"), name.split("-")[0], f"- {layer}", shape, shift=shift)
        for functions, shift in ((FUNCTIONS, 0.0), (POSITIVE, 4.0))
        for name, layer in functions.items()
        for form, shape in (("image", IMAGE), ("vector", VECTOR))
    ),
    Case("relu6-beyond-six", "relu6", "- scale: {value: 3.0, learn: false}\n- relu6", IMAGE),
    *(
        case
        for kind in ("softmax", "log_softmax")
        for case in (
            *rows(kind, IMAGE, height=f"{kind}: height", width=f"{kind}: {{axis: width}}"),
            *rows(kind, (4, 5), length=f"{kind}: length"),
            *rows(kind, (2, 3, 4, 2), depth=f"{kind}: depth"),
        )
    ),
]

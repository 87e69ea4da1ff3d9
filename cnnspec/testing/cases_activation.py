"""Cases of the activations, each over an image and over a vector."""

from __future__ import annotations

from cnnspec.testing.case import IMAGE, VECTOR, Case

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
    "tanh": "tanh",
    "hard_swish": "hard_swish",
    "softplus": "softplus",
    "softplus-beta": "softplus: 3.0",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
}

CASES = [
    Case(f"{name}-{form}".replace("_", "-"), name.split("-")[0], f"- {layer}", shape)
    for name, layer in FUNCTIONS.items()
    for form, shape in (("image", IMAGE), ("vector", VECTOR))
] + [Case("relu6-beyond-six", "relu6", "- scale: {value: 3.0, learn: false}\n- relu6", IMAGE)]

"""Expressions of generated code, and how a layer is written in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cnnspec.graph.graph import Node
from cnnspec.interop.source.text import Argument, Call, Slot, Text, Value


@dataclass(frozen=True, slots=True)
class Expression:
    """Code for a value."""

    text: Text
    atom: bool = True
    """Whether it needs no parentheses before a method or between operators."""
    typed: bool = True
    """Whether a type checker knows that it is a tensor; the value of a module's call is of any type."""
    depth: int = 0
    """How many calls are nested in it."""

    @property
    def as_atom(self) -> Text:
        """The text, in parentheses where it needs them."""
        return self.text if self.atom else ("(", *self.text, ")")


Make = Callable[[Sequence[Expression]], Expression]
"""Makes the expression of a layer from those of its inputs."""


@dataclass(frozen=True)
class LayerCode:
    """How one layer is written."""

    make: Make
    """The value in terms of the inputs."""
    constructor: Text | None = None
    """What makes its module, of a layer that has arrays."""
    is_call: bool = False
    """Whether the value is the module called with the input, and nothing else."""
    stateless: Text | None = None
    """What makes a module of a layer that has no arrays, where a chain of modules needs one."""
    follows: bool = False
    """Whether it is written around the layer before it: norms, activations, dropout."""
    view: bool = False
    """Whether it is short and cheap enough to stand within any other expression: a slice."""


Write = Callable[[Node, str], LayerCode]
"""Writes a node; the text is what its module is called by, such as `self.conv1`."""


def function(name: str, inputs: Sequence[Expression], *arguments: Argument, typed: bool = True) -> Expression:
    """Return the call of a function of tensors and further arguments."""
    call = Call(name, (*(Argument(x.text) for x in inputs), *arguments))
    return Expression((call,), typed=typed, depth=1 + depth(inputs))


def method(x: Expression, name: str, *arguments: Argument) -> Expression:
    """Return the call of a method of a tensor."""
    return Expression((*x.as_atom, Call(f".{name}", arguments)), typed=x.typed, depth=1 + x.depth)


def depth(inputs: Sequence[Expression]) -> int:
    """Return how deep the calls in the expressions are nested."""
    return max((x.depth for x in inputs), default=0)


def joined(operator: str, inputs: Sequence[Expression]) -> Expression:
    """Return the inputs with an operator between them."""
    text: Text = inputs[0].as_atom
    for x in inputs[1:]:
        text = (*text, f" {operator} ", *x.as_atom)
    return Expression(text, atom=False, typed=inputs[0].typed, depth=depth(inputs))


def number(value: Value, role: str, owner: str, keyword: str = "", default: Value | None = None) -> Argument:
    """Return a number as an argument."""
    return Argument((Slot(value, role, owner),), keyword, default)


def code(text: str, keyword: str = "") -> Argument:
    """Return code as an argument."""
    return Argument((text,), keyword)

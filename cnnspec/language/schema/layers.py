"""The JSON Schema of lists of layers: kinds, merges with their branches, repeats, and uses of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cnnspec.language.blocks import RESERVED, Block, Param
from cnnspec.language.layer_placer import SHARE
from cnnspec.language.schema.entries import Definitions, configuration, entry
from cnnspec.language.schema.values import (
    COMMON,
    EXPRESSION,
    NAME,
    PARAM,
    TEXT,
    WHOLE,
    Schema,
    described,
    either,
    listed,
    mapping,
    ref,
    required,
    with_references,
)
from cnnspec.language.sugar import NONE, SUGAR
from cnnspec.layers import NORMS, Layer
from cnnspec.layers.activation import Activation
from cnnspec.layers.conv import Weighted
from cnnspec.layers.reference import documentation

Kinds = Mapping[str, type[Layer]]

_FROM = described(TEXT, "The layer or the input whose output the layers behind it start from.")


def define_kinds(found: Definitions, kinds: Kinds) -> None:
    """Define what stands behind each kind of layer but the merges, and behind `norm` and `activation`."""
    families = {
        "norm": [kind for kind in kinds if kind in NORMS],
        "activation": [kind for kind, cls in kinds.items() if issubclass(cls, Activation)],
    }
    sugar: dict[str, Schema] = {}
    for key in SUGAR:
        sugar[key] = found.choice(key, {kind: kinds[kind] for kind in families[key]}, {"name": COMMON["name"]})
        found[key] = either({"enum": [NONE]}, found[key])
    about = {
        "norm": "The norm behind it; with one, `bias` is false unless it is given. `none` stands for no layer.",
        "activation": "The activation behind it, or behind its norm. `none` stands for no layer.",
    }
    for kind, cls in kinds.items():
        if cls.arity is not None:
            has_weights = cls.parameters is not Layer.parameters
            keys = {key: form for key, form in COMMON.items() if has_weights or key != SHARE}
            if issubclass(cls, Weighted):
                keys |= {key: described(sugar[key], about[key]) for key in SUGAR}
            found[f"layer.{kind}"] = configuration(cls, cls.main, keys, like=cls.like)


def define_list(found: Definitions, name: str, kinds: Kinds, blocks: Mapping[str, Schema] | None) -> Schema:
    """Define a list of layers, and return a reference to it.

    `blocks` are the uses of blocks that may stand in it; None where any name may be that of a block.
    """
    known: dict[str, Schema] = {}
    alone: list[str] = []
    for kind, cls in kinds.items():
        if cls.arity is None:
            found[f"{name}.{kind}"] = _merge(cls, ref(name))
            known[kind] = ref(f"{name}.{kind}")
        else:
            known[kind] = ref(f"layer.{kind}")
            alone += [] if required(cls) else [kind]
    found[f"{name}.repeat"] = _repeat(ref(name))
    known |= {"repeat": ref(f"{name}.repeat"), "from": _FROM}
    if blocks is None:
        needs_more = [kind for kind in known if kind not in alone]
        any_block: Schema = {"type": "string", "pattern": f"^{NAME}$", "not": {"enum": needs_more}}
        more = {"additionalProperties": ref("block_use"), "propertyNames": {"pattern": rf"^{NAME}$|\$"}}
        item = either(entry(alone, known, **more), any_block)
    else:
        for block, use in blocks.items():
            found[f"block.{block}"] = use
        uses = {block: ref(f"block.{block}") for block in blocks}
        without_values = [block for block, use in blocks.items() if {"type": "null"} in use.get("anyOf", [])]
        item = entry([*alone, *without_values], {**known, **uses})
    found[f"{name}.item"] = item
    found[name] = listed(ref(f"{name}.item"))
    return ref(name)


def _merge(cls: type[Layer], branches: Schema) -> Schema:
    """Return what stands behind a merge: its branches by name, which are lists of layers, and its fields."""
    found = configuration(cls, None, {key: form for key, form in COMMON.items() if key != SHARE})
    fields = found["anyOf"][0] | {"additionalProperties": branches, "minProperties": 2}
    return described(either(fields, EXPRESSION), documentation(cls))


def _repeat(layers: Schema) -> Schema:
    each = mapping({}, additionalProperties=with_references({"type": "array", "items": {}}), minProperties=1)
    properties = {
        "times": described(WHOLE, "The number of rounds."),
        "each": described(
            {**each, "propertyNames": {"pattern": PARAM}},
            "Names and lists of values, one for each round.",
        ),
        "layers": described(layers, "The layers of a round."),
        "name": described(COMMON["name"], "What names of layers begin with, before the number of the round."),
        "first": described(WHOLE, "The number of the first round, 1 by default."),
        "index": described({"type": "string", "pattern": PARAM}, "The parameter that is the number of the round."),
    }
    numbered = {"anyOf": [{"required": ["name"]}, {"required": ["index"]}]}
    rules = {
        "oneOf": [{"required": ["times"]}, {"required": ["each"]}],
        "dependencies": {"first": numbered},
    }
    about = "A list of layers several times: so many `times`, or once for each value of lists."
    return described(mapping(properties, ["layers"], **rules), about)


def any_block_use() -> Schema:
    """Return what may stand behind the name of any block."""
    about = "The use of a block: its arguments by name, or the value of its first parameter."
    return described({"properties": dict(COMMON)}, about)


_ARGUMENTS: Mapping[str | None, Schema] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "text": TEXT,
    "list": {"type": "array", "items": {}},
    "size": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {}}]},
    "layer": {"anyOf": [TEXT, {"type": "object"}]},
}


def block_use(block: Block) -> Schema:
    """Return what may stand behind the name of a block, by its parameters."""
    properties = {name: _argument(param) for name, param in block.params.items()}
    needed = [name for name, param in block.params.items() if param.required]
    alternatives = [mapping({**properties, **COMMON}, needed), EXPRESSION]
    if block.params and len(needed) <= 1:
        first = next(iter(block.params))
        alternatives += [properties[first]] if set(needed) <= {first} else []
    alternatives += [] if needed else [{"type": "null"}]
    return described(either(*alternatives), f"The block `{block.name}`.")


def _argument(param: Param) -> Schema:
    own = _ARGUMENTS.get(param.type)
    default = param.default if isinstance(param.default, int | float | str) else None
    about = f"{'A parameter of the type' if param.required else 'Of the type'} {param.type}." if own else ""
    return described(with_references(dict(own)) if own else {}, about, default)


def block_declarations(layers: Schema, reserved: Iterable[str], types: Iterable[str]) -> Schema:
    """Return the schema of `blocks`."""
    type_or_default = either(
        described({"enum": list(types)}, "The type of a parameter that every use gives."),
        {"type": ["string", "number", "boolean", "array", "object"]},
    )
    params = {
        **mapping({}, additionalProperties=type_or_default),
        "propertyNames": {"pattern": PARAM, "not": {"enum": sorted(COMMON)}},
    }
    block = mapping(
        {
            "params": described(params, "The parameters: a type (every use gives a value) or a default."),
            "layers": described(layers, "The layers of the block."),
        },
        ["layers"],
    )
    names = {"pattern": f"^{NAME}$", "not": {"enum": [*reserved, *RESERVED]}}
    return mapping({}, additionalProperties=block) | {"propertyNames": names}

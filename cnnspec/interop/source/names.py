"""Names in generated code: attributes, variables and classes, from the names of a network's layers."""

from __future__ import annotations

import builtins
import keyword
import re

# What every torch.nn.Module has; an attribute of that name would hide it.
_MODULE = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia
named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer
register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory
state_dict to to_empty train training type xpu zero_grad
append clear copy extend fromkeys get insert items keys pop popitem setdefault update values
"""
MODULE_ATTRIBUTES = frozenset(_MODULE.split())
"""The attributes of torch.nn.Module, and those that nn.Sequential and nn.ModuleDict have beside."""

# What the files themselves use.
_FILE = """
F torch nn Tensor self keras layers ops KerasTensor name i range super math itertools Any Callable OrderedDict Fraction
drop_path taps avg_pool lp_pool resize resize_taps channel_shuffle local_response_norm border spread average_pool
adaptive_pool
"""
TAKEN = frozenset(_FILE.split())


def identifier(name: str) -> str:
    """Return a name as one that Python takes for a variable, and that hides nothing that a file uses."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not found or found[0].isdigit():
        found = f"_{found}"
    return f"{found}_" if keyword.iskeyword(found) or found in TAKEN or hasattr(builtins, found) else found


def is_attribute(name: str) -> bool:
    """Whether `self.<name>` is an attribute that a module can have."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and name not in MODULE_ATTRIBUTES
        and not name.startswith("_")
    )


def class_name(name: str) -> str:
    """Return a name in the form of classes: `MobilenetV2` for `mobilenet_v2`."""
    words = [word for word in re.split(r"[\W_]+", name, flags=re.ASCII) if word]
    found = "".join(word[0].upper() + word[1:] for word in words) or "Network"
    return f"Net{found}" if found[0].isdigit() else found


def stem(name: str) -> str:
    """Return a name without the number at its end: `unit` for `unit0`, `inception` for `inception3a`."""
    return re.sub(r"_?\d+[a-z]?$", "", name) or name


def numbered(name: str) -> tuple[str, int] | None:
    """Return a name that ends in a number as the two: `unit`, 0 for `unit0`."""
    found = re.fullmatch(r"(.*?[A-Za-z_-])(0|[1-9]\d*)", name)
    return (found[1], int(found[2])) if found else None

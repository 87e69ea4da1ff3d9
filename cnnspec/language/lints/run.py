"""Run the lints over a spec without errors."""

from __future__ import annotations

from collections.abc import Callable

from cnnspec.graph.graph import Node
from cnnspec.graph.training import Train
from cnnspec.language.lints import activations, costs, declarations, inputs, training, windows
from cnnspec.language.lints.subject import Subject
from cnnspec.language.yaml_tree import YamlNode

LAYER_WARNINGS: tuple[Callable[[Subject, Node], None], ...] = (
    activations.activation_twice,
    activations.linear_twice,
    activations.dropout_before_norm,
    activations.flatten_of_vector,
    activations.norm_momentum,
    costs.huge_dense,
)
"""Those that look at one layer and what is around it."""
WARNINGS: tuple[Callable[[Subject], None], ...] = (
    activations.before_loss,
    inputs.channels_last,
    inputs.pixel_scale,
    declarations.unused_params,
    declarations.unused_blocks,
    declarations.repeated_class,
)
TRAINING: tuple[Callable[[Subject, Train, YamlNode], None], ...] = (
    training.schedule_beyond_training,
    training.large_shift,
    training.large_weight_decay,
    training.dataset,
)
"""Those that look at the `train:` section, and the text that it is read from."""
LAYER_NOTES: tuple[Callable[[Subject, Node], None], ...] = (
    windows.unread_border,
    windows.uneven_padding,
    activations.bias_before_norm,
)
NOTES: tuple[Callable[[Subject], None], ...] = (costs.heavy_dense, costs.receptive_field, costs.uneven_channels)


def lint(subject: Subject, *, notes: bool) -> None:
    """Report what is most likely a mistake; with `notes`, what is worth knowing, too."""
    of_layers = (*LAYER_WARNINGS, *(LAYER_NOTES if notes else ()))
    for node in subject.graph.nodes:
        if node.inputs:
            for look in of_layers:
                look(subject, node)
    train, text = subject.spec.train, subject.document.train_node
    if train is not None and text is not None:
        for look_at in TRAINING:
            look_at(subject, train, text)
    for examine in (*WARNINGS, *(NOTES if notes else ())):
        examine(subject)

"""Lints of what stands between layers with weights: activations, norms, dropout."""

from __future__ import annotations

from cnnspec.graph.graph import Node
from cnnspec.language.lints.subject import Subject
from cnnspec.layers.activation import Activation
from cnnspec.layers.conv import Weighted
from cnnspec.layers.dense import Flatten
from cnnspec.layers.geometry import effective_kernel


def activation_twice(subject: Subject, node: Node) -> None:
    """Warn of an activation right behind the same one."""
    if not isinstance(node.layer, Activation):
        return
    before = subject.producer(node)
    if before is not None and before.layer == node.layer:
        message = f"`{node.name}` applies {node.kind} to what `{before.name}` has applied it to already"
        subject.report(
            "warning",
            "activation-twice",
            message,
            node,
            subject.label(before, "first here"),
            help="leave one of them out",
            removable=True,
        )


def linear_twice(subject: Subject, node: Node) -> None:
    """Warn of two layers with weights and nothing non-linear between them.

    Not of a factorisation: a narrow layer between two wide ones, a 1×1 convolution, or one in groups.
    """
    if not isinstance(node.layer, Weighted):
        return
    for before in subject.before(node):
        if isinstance(before.layer, Weighted):
            if type(before.layer) is type(node.layer) and not _is_factorisation(before, node):
                message = f"nothing non-linear stands between `{before.name}` and `{node.name}`"
                remedy = "two linear layers in a row compute no more than one: put an activation such as `relu` between"
                subject.report(
                    "warning", "linear-twice", message, node, subject.label(before, "linear, too"), help=remedy
                )
            return
        if not before.layer.linear:
            return


def _is_factorisation(first: Node, second: Node) -> bool:
    if first.shape[0] < min(first.in_shapes[0][0], second.shape[0]):
        return True
    if not first.windows:
        return False
    spans = [[effective_kernel(w.kernel, w.dilation) for w in node.windows] for node in (first, second)]
    one_axis_each = any(1 in axes for axes in spans)
    return one_axis_each or any(getattr(node.layer, "groups", 1) > 1 for node in (first, second))


def dropout_before_norm(subject: Subject, node: Node) -> None:
    """Warn of dropout right before a batch norm, whose statistics it changes in training alone (Li et al. 2019)."""
    if not node.layer.needs_batch_statistics:
        return
    before = subject.producer(node)
    if before is not None and before.layer.stochastic:
        message = f"`{before.name}` stands right before `{node.name}`, whose running statistics it changes"
        remedy = "put it behind the activation that follows, or leave it out: the variance differs at inference"
        subject.report(
            "warning",
            "dropout-before-norm",
            message,
            before,
            subject.label(node, "normalises over the batch"),
            help=remedy,
        )


def flatten_of_vector(subject: Subject, node: Node) -> None:
    """Warn of a flatten whose input is a vector."""
    if isinstance(node.layer, Flatten) and node.in_shapes[0] == node.shape:
        before = subject.graph.by_name[node.inputs[0]]
        message = f"`{node.name}` does nothing: what it reads is a vector of {node.shape[0]} already"
        others = [subject.label(before, f"makes {node.shape[0]}")] if before.inputs else []
        subject.report("warning", "flatten-of-vector", message, node, *others, help="leave it out", removable=True)


def norm_momentum(subject: Subject, node: Node) -> None:
    """Warn of a batch norm's momentum in the convention of Keras, whose momentum is 1 minus that of PyTorch."""
    momentum = getattr(node.layer, "momentum", None)
    if node.layer.needs_batch_statistics and isinstance(momentum, float) and momentum > 0.5:
        other = f"{1 - momentum:.6g}"
        message = (
            f"`momentum: {momentum:g}` gives the latest batch a weight of {momentum:.0%} in the running statistics"
        )
        remedy = f"in Keras it is the weight of the old statistics: `momentum: {other}` here"
        fix = subject.setting(node, "momentum", other)
        subject.report("warning", "norm-momentum", message, node, field="momentum", help=remedy, fix=fix)


def bias_before_norm(subject: Subject, node: Node) -> None:
    """Note a bias that a batch norm takes away again."""
    if not node.layer.needs_batch_statistics:
        return
    before = subject.producer(node)
    if before is None or not subject.is_private(before) or not isinstance(before.layer, Weighted):
        return
    if before.layer.bias is True:
        message = f"the bias of `{before.name}` has no effect: `{node.name}` subtracts the mean"
        fix = subject.setting(before, "bias", "false")
        subject.report(
            "note", "bias-before-norm", message, before, subject.label(node, "has a shift of its own"), fix=fix
        )


def before_loss(subject: Subject) -> None:
    """Warn of dropout, or of an activation that the loss does not expect, behind the logits."""
    if subject.spec.train is None:
        return
    for name, loss in subject.spec.losses.items():
        node = subject.graph.output_nodes[name]
        if not node.inputs or loss.misfit(node.shape):
            continue
        if node.layer.stochastic:
            message = f"`{node.name}` drops outputs at random right before {loss.title}"
            subject.report(
                "warning", "dropout-before-loss", message, node, help="put it before the last layer with weights"
            )
        elif loss.applies is not None and _limits(node) and node.kind != loss.applies:
            message = f"`{node.name}` stands before {loss.title}, which takes logits of any sign and size"
            subject.report("warning", "activation-before-loss", message, node, help="leave it out", removable=True)


def _limits(node: Node) -> bool:
    """Return whether a layer is an activation of each number by itself."""
    return isinstance(node.layer, Activation) and node.layer.elementwise

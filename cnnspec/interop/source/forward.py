"""The statements of a function that computes a block: which values get a variable, and what it is called.

The current tensor is `x`. Branches of a merge are called as the author calls them, and a value that is read again after
the next one was computed has the name of its layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnspec.interop.naming import free
from cnnspec.interop.source.expression import Expression, LayerCode
from cnnspec.interop.source.names import identifier
from cnnspec.interop.source.text import Resolved, Slot, Text, Variable, named, plain, variables

CURRENT = "x"
DEEPEST = 4
"""How many calls are nested in one statement at most."""
LONGEST = 90
"""The length of an expression that still becomes part of another one."""


@dataclass(frozen=True)
class Run:
    """Numbered modules of one class, called one after another: `unit1` to `unit3`."""

    stem: str
    first: int
    count: int
    ends: bool
    """Whether their number is given by the end of the range, as where `unit0` is another module."""

    @property
    def slot(self) -> Slot:
        """The number that says how many there are."""
        return Slot(self.first + self.count if self.ends else self.count, "count", self.stem)

    def range(self, count: Resolved) -> str:
        """Return its range: range(1, units) where the end is given, range(1, layers + 1) where the number is."""
        if self.first == 0:
            return f"range({count.code})"
        if self.ends:
            return f"range({self.first}, {count.code})"
        end = self.first + count.value if isinstance(count.value, int) else f"{count.code} + {self.first}"
        return f"range({self.first}, {end})"


@dataclass(frozen=True)
class Step:
    """A layer, a block or a run of blocks, in the order of execution."""

    node: str
    """The node whose value it computes."""
    name: str
    """The last part of its name."""
    reads: tuple[str, ...]
    code: LayerCode
    branches: tuple[str, ...] = ()
    joins: bool = False
    """Whether it is a merge."""
    run: Run | None = None


@dataclass(frozen=True)
class Statement:
    """An assignment to a variable; of a run, a loop in which it is assigned to each time."""

    target: str
    text: Text
    run: Run | None = None


@dataclass(frozen=True)
class Body:
    """The statements of a function, and what it returns."""

    inputs: tuple[str, ...]
    statements: tuple[Statement, ...]
    result: Text


def arguments(reads: Sequence[str], steps: Sequence[Step]) -> dict[str, str]:
    """Return the arguments of a block by the nodes that it reads: `x`, and others as the branches that they are."""
    inputs = {reads[0]: CURRENT}
    for read in reads[1:]:
        branches = (step.branches[step.reads.index(read)] for step in steps if step.branches and read in step.reads)
        inputs[read] = free(identifier(next(branches, CURRENT)), {*inputs.values()})
    return inputs


def network_arguments(inputs: Sequence[str]) -> dict[str, str]:
    """Return the arguments of a network by its inputs: `x`, or the names of several."""
    return {name: CURRENT if len(inputs) == 1 else identifier(name) for name in inputs}


def body(steps: Sequence[Step], inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Body:
    """Return the statements that compute `outputs`, nodes by name, from `inputs`, names of arguments by node."""
    labels = _labels(steps, inputs, outputs)
    pending = _expressions(steps, inputs, set(outputs.values()), labels)
    names = _names(pending, inputs, outputs, labels)
    result: Text
    if len(outputs) > 1:
        result = ("{",)
        for i, (label, node) in enumerate(outputs.items()):
            result = (*result, ", " if i else "", f'"{label}": ', Variable(node))
        result = (*result, "}")
    else:
        result = (Variable(*outputs.values()),)
        if pending and pending[-1][0].node in outputs.values():
            step, expression = pending[-1]
            if expression.typed and not step.run:
                result = expression.text
                pending = pending[:-1]
            elif not step.run:
                names[step.node] = next(iter(inputs.values()))
    statements = []
    for step, expression in pending:
        target = names[step.node]
        known = names
        if step.run and names[step.reads[0]] != target:  # each round reads the one before it
            statements.append(Statement(target, (names[step.reads[0]],)))
            known = {**names, step.reads[0]: target}
        text = named(expression.text, known)
        if text != (target,):
            statements.append(Statement(target, text, step.run))
    return Body(tuple(inputs.values()), tuple(statements), named(result, names))


# Which values get a variable


def _expressions(
    steps: Sequence[Step], inputs: Mapping[str, str], outputs: set[str], labels: Mapping[str, str]
) -> list[tuple[Step, Expression]]:
    """Return the steps that are statements, each with its expression, in which others stand."""
    uses = Counter(read for step in steps for read in step.reads)
    readers = {read: step for step in steps for read in step.reads}
    inlined: dict[str, Expression] = {}
    found = []
    typed = set(inputs)
    typed_variables = dict.fromkeys(inputs.values(), True)  # a variable has the type of what is first assigned to it
    for step in steps:
        operands = [
            inlined[read] if read in inlined else Expression((Variable(read),), typed=read in typed)
            for read in step.reads
        ]
        expression = step.code.make(operands)
        once = uses[step.node] == 1 and step.node not in outputs
        if once and not step.run and _stands_in(step, expression, readers[step.node]):
            inlined[step.node] = expression
        else:
            found.append((step, expression))
            if typed_variables.setdefault(labels[step.node], expression.typed) or expression.typed:
                typed.add(step.node)
    return found


def _stands_in(step: Step, expression: Expression, reader: Step) -> bool:
    """Whether the expression of a step stands in that of its only reader."""
    blank = dict.fromkeys(variables(expression.text), CURRENT)
    if reader.run or len(plain(named(expression.text, blank))) > LONGEST:
        return False
    if step.code.view:
        return True
    if step.joins and reader.code.constructor:
        return False
    if reader.joins:
        return step.code.is_call and expression.depth == 1
    return reader.code.follows and expression.depth < DEEPEST


# What the variables are called


def _labels(steps: Sequence[Step], inputs: Mapping[str, str], outputs: Mapping[str, str]) -> dict[str, str]:
    """Return what each value would be called if no other had that name."""
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for read in dict.fromkeys(step.reads):
            readers.setdefault(read, []).append(step)
    meeting = _meeting_points([*inputs, *(step.node for step in steps)], readers, set(outputs.values()))
    long = _long(steps, readers, meeting)
    labels = {node: identifier(name) for name, node in outputs.items()} if len(outputs) > 1 else {}
    for step in reversed(steps):
        if step.node in labels:
            continue
        reading = readers.get(step.node, [])
        if len(reading) == 1 and reading[0].joins and reading[0].node not in long:
            labels[step.node] = _branch(reading[0], step.node)
        elif len(reading) == 1:
            labels[step.node] = labels[reading[0].node]
        else:
            labels[step.node] = labels.get(meeting[step.node] or "", CURRENT)
    return labels


def _long(steps: Sequence[Step], readers: Mapping[str, Sequence[Step]], meeting: Mapping[str, str | None]) -> set[str]:
    """Return the merges of a long skip: the other way is the current tensor, and what is skipped has its own name.

    These are merges with others between them and the layer at which their branches part, and merges whose branches
    are called like those of one.
    """
    order = {step.node: i for i, step in enumerate(steps)}
    merges = [i for i, step in enumerate(steps) if step.joins]
    parts: dict[str, int] = {}
    for step in steps:
        joint = meeting[step.node]
        if joint is not None and len(readers.get(step.node, ())) > 1:
            parts[joint] = order[step.node]
    found = {steps[i].branches for i in merges if any(parts.get(steps[i].node, i) < other < i for other in merges)}
    return {steps[i].node for i in merges if steps[i].node in parts and steps[i].branches in found}


def _branch(merge: Step, node: str) -> str:
    """Return the name of the branch of a merge that a node is the end of."""
    names = merge.branches or tuple(read.rpartition(".")[2] for read in merge.reads)
    return identifier(names[merge.reads.index(node)])


def _meeting_points(
    nodes: Sequence[str], readers: Mapping[str, Sequence[Step]], outputs: set[str]
) -> dict[str, str | None]:
    """Return the node at which all paths from each node meet again, None where they do not: its post-dominator.

    Cooper, Harvey & Kennedy 2001, which takes one pass where there are no cycles.
    """
    depth: dict[str | None, int] = {None: 0}
    meeting: dict[str, str | None] = {}
    for node in reversed(nodes):
        ways: list[str | None] = [step.node for step in readers.get(node, ())]
        if node in outputs or not ways:
            ways.append(None)
        common = ways[0]
        for way in ways[1:]:
            while common != way:
                if depth[common] >= depth[way]:
                    common = meeting[common] if common is not None else None
                else:
                    way = meeting[way] if way is not None else None
        meeting[node] = common
        depth[node] = depth[common] + 1
    return meeting


def _names(
    pending: Sequence[tuple[Step, Expression]],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    labels: Mapping[str, str],
) -> dict[str, str]:
    """Return the variable of each value; two that are needed at one time have different ones."""
    last: dict[str, int] = {node: len(pending) for node in outputs.values()}
    for i, (_, expression) in reversed([*enumerate(pending)]):
        for read in variables(expression.text):
            last.setdefault(read, i)
    names = dict(inputs)
    own_names = {step.node: step.name for step, _ in pending}
    holders = {name: node for node, name in inputs.items()}
    taken = {*labels.values(), *inputs.values(), "y"}
    for i, (step, _) in enumerate(pending):
        label = labels[step.node]
        held = holders.get(label)
        if held in inputs and last.get(held or "", -1) > i and label == CURRENT:
            label, held = "y", holders.get("y")
        if held is not None and last.get(held, -1) > i:
            own = free(identifier(own_names[step.node if held in inputs else held]), taken)
            taken.add(own)
            if held in inputs:
                label = own
            else:
                names[held] = own
        names[step.node] = label
        holders[label] = step.node
    return names

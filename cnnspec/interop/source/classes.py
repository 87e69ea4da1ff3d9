"""Blocks that are alike but for numbers, as one class with parameters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, takewhile

from cnnspec.interop.naming import free
from cnnspec.interop.source.forward import Body, Run
from cnnspec.interop.source.names import class_name, numbered, stem
from cnnspec.interop.source.parameters import Parameter, Shapes, resolve
from cnnspec.interop.source.text import Argument, Call, Resolved, Slot, Text, key, slots
from cnnspec.layers import LAYERS


@dataclass(frozen=True)
class Attribute:
    """A module of a block and what makes it; of a run, what makes the i-th."""

    path: str
    text: Text
    run: Run | None = None

    @property
    def slots(self) -> list[Slot]:
        """Its numbers."""
        return [*([self.run.slot] if self.run else []), *slots(self.text)]


@dataclass(frozen=True)
class BlockCode:
    """The code of one block, with its numbers."""

    path: str
    shapes: Shapes
    attributes: tuple[Attribute, ...]
    body: Body | None
    """None where the block is a chain of its modules."""
    features: tuple[str, ...] = ()
    """Words for what may tell it apart from blocks of that name."""

    @property
    def texts(self) -> Iterator[Text]:
        """All texts with slots, in the order in which they are written."""
        for attribute in self.attributes:
            if attribute.run:
                yield (attribute.run.slot,)
            yield attribute.text
        if self.body:
            for statement in self.body.statements:
                if statement.run:
                    yield (statement.run.slot,)
                yield statement.text
            yield self.body.result

    @property
    def slots(self) -> list[Slot]:
        """Its numbers."""
        return [slot for text in self.texts for slot in slots(text)]

    @property
    def key(self) -> Hashable:
        """What is equal for blocks that are one class."""
        runs = tuple(_kept(a.run) for a in self.attributes)
        paths = tuple("" if a.run else a.path for a in self.attributes)
        statements = self.body and (self.body.inputs, tuple((s.target, _kept(s.run)) for s in self.body.statements))
        return paths, runs, statements, tuple(map(key, self.texts))


def _kept(run: Run | None) -> Hashable:
    """Return what does not differ between the uses of a run: all but how many there are."""
    return run and (run.stem, run.first, run.ends)


@dataclass
class BlockClass:
    """One class for the blocks `uses`."""

    token: str
    """What stands for its name, until all classes are known."""
    uses: list[BlockCode]
    parameters: list[Parameter]
    resolved: list[Resolved]

    @property
    def example(self) -> BlockCode:
        """One of the blocks."""
        return self.uses[0]

    @property
    def about(self) -> str:
        """The names of the blocks, as a docstring."""
        paths = [use.path for use in self.uses]
        if len(", ".join(paths)) > 90:
            paths = [*paths[:2], "…", paths[-1]]
        return f"{', '.join(paths)}."

    def call(self, use: int, owner: str) -> Text:
        """Return what makes one of the blocks."""
        arguments = [
            Argument(
                (Slot(p.values[use], p.role, owner),),
                "" if p.is_positional else p.name,
                p.default,
            )
            for p in self.parameters
        ]
        return (Call(self.token, tuple(arguments)),)


def grouped(blocks: Iterable[BlockCode], first: int, taken: Iterable[str]) -> list[BlockClass]:
    """Return the classes of blocks, which are numbered from `first`."""
    groups: dict[Hashable, list[BlockCode]] = {}
    for block in blocks:
        groups.setdefault(block.key, []).append(block)
    found = []
    for i, uses in enumerate(groups.values(), first):
        names = {*taken, *(attribute.path.partition(".")[0] for attribute in uses[0].attributes)}
        parameters, resolved = resolve([use.slots for use in uses], [use.shapes for use in uses], names)
        found.append(BlockClass(token(i), uses, parameters, resolved))
    return found


def token(number: int) -> str:
    """Return what stands for the name of a class."""
    return f"§{number}§"


def with_names(line: str, names: Mapping[str, str]) -> str:
    """Return a line with the names of the classes in place of their tokens."""
    return re.sub("§\\d+§", lambda found: names[found[0]], line)


def names(classes: Sequence[BlockClass], taken: Iterable[str]) -> dict[str, str]:
    """Return the names of the classes by token."""
    used = {*taken}
    by_stem: dict[str, list[BlockClass]] = {}
    for found in classes:
        by_stem.setdefault(_stem(found), []).append(found)
    result = {}
    for word, alike in by_stem.items():
        for found, name in _told_apart(word, alike):
            name = free(name, used)
            used.add(name)
            result[found.token] = name
    return result


def _stem(found: BlockClass) -> str:
    """Return what most of the blocks are called, without numbers; a word for their layers where they differ."""
    stems = Counter(class_name(stem(use.path.rpartition(".")[2])) for use in found.uses)
    word, count = stems.most_common(1)[0]
    if 2 * count > len(found.uses) or len(found.uses) == 1:
        return "ConvBlock" if word == "Conv" else word
    kinds = Counter(_kind(attribute.path) for attribute in found.example.attributes)
    if kinds.keys() <= {"conv", "batch_norm"} and 1 <= kinds["conv"] <= 3:
        return ("ConvBlock", "DoubleConv", "TripleConv")[kinds["conv"] - 1]
    return "Block"


def _kind(path: str) -> str | None:
    """Return the kind of a layer that has no name of its own."""
    word = (numbered(path) or ("", 0))[0]
    return word if word in LAYERS else None


def _told_apart(word: str, alike: Sequence[BlockClass]) -> list[tuple[BlockClass, str]]:
    """Return the classes of one stem, each with its name: the usual one is called by the stem alone."""
    common = [_common_prefix([use.path.rpartition(".")[2] for use in found.uses]) for found in alike]
    if all(common) and len({*map(class_name, common), word}) == len(alike) + 1:
        return [*zip(alike, map(class_name, common), strict=True)]
    left = sorted(alike, key=lambda found: len(found.uses))
    told: list[tuple[BlockClass, str]] = []
    for found in left[:-1]:
        own = class_name(found.example.path.rpartition(".")[2])
        if len(found.uses) == 1 and own != word:
            left.remove(found)
            told.append((found, own))
    while len(left) > 1:
        found, words = _distinct(left)
        left.remove(found)
        told.append((found, words + word))
    return [(left[0], word), *told]


def _common_prefix(words: Sequence[str]) -> str:
    """Return what all words begin with."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*words, strict=False))
    return "".join(letters[0] for letters in same)


def _distinct(alike: Sequence[BlockClass]) -> tuple[BlockClass, str]:
    """Return a class that one or two words tell from the others, and the words; the first class where there is none."""
    features = [_features(found) for found in alike]
    for size in (1, 2):
        for found, own in zip(alike, features, strict=True):
            for words in combinations(own, size):
                if sum(set(words) <= set(others) for others in features) == 1:
                    return found, "".join(words)
    return alike[0], ""


def _features(found: BlockClass) -> list[str]:
    common = [word for word in found.example.features if all(word in use.features for use in found.uses)]
    own = [class_name(a.path) for a in found.example.attributes if not _kind(a.path) and not a.run]
    return [*(["Residual"] if "Residual" in common else []), *own, *(word for word in common if word != "Residual")]

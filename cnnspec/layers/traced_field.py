"""A receptive field that keeps the formulas of its steps, so that every layer's own rule explains itself."""

from __future__ import annotations

from cnnspec.layers.geometry import ReceptiveField


class TracedField(ReceptiveField):
    """A receptive field along one axis with the steps that lead to it, each a formula with its numbers.

    A layer's `receptive_field` calls the methods of the fields that it is given; those of this class return the same
    fields, with a further step. r is the size of the field, j the jump: the distance of neighbours, in inputs.
    """

    steps: tuple[str, ...]

    @classmethod
    def start(cls, field: ReceptiveField) -> TracedField:
        """Return a field without steps."""
        return cls._with(field, ())

    @classmethod
    def _with(cls, field: ReceptiveField, steps: tuple[str, ...]) -> TracedField:
        found = cls(*field)
        found.steps = steps
        return found

    @property
    def _plain(self) -> ReceptiveField:
        return ReceptiveField(*self)

    def _then(self, field: ReceptiveField, step: str) -> TracedField:
        return self._with(field, (*self.steps, step))

    def slide(self, k: int, stride: int, out: int) -> ReceptiveField:
        """Return the field behind a window that spans k and moves by stride."""
        after = self._plain.slide(k, stride, out)
        if k == 1 and stride == 1:
            return self._with(after, self.steps)
        if self.fine == 1:
            step = f"r = {self.size} + ({k} − 1) · {self.jump} = {after.size}"
        else:
            grid = f"({self.span} + ({k} − 1) · {self.stride}) / {self.fine}"
            step = f"r = {self.base} + ⌊{grid}⌋ · {self.jump} = {after.size}"
        return self._then(after, f"{step}, j = {self.step} · {stride} = {after.step}")

    def transposed(self, k: int, stride: int, out: int) -> ReceptiveField:
        """Return the field behind a transposed window: each element reaches over k cells of a grid finer by stride."""
        after = self._plain.transposed(k, stride, out)
        if k == 1 and stride == 1:
            return self._with(after, self.steps)
        grid = f"({self.span} · {stride} + ({k} − 1) · {self.stride}) / ({self.fine} · {stride})"
        step = f"r = {self.base} + ⌊{grid}⌋ · {self.jump} = {after.size}, j = {self.step} / {stride} = {after.step}"
        return self._then(after, step)

    def whole(self) -> ReceptiveField:
        """Return the field behind a layer that reads every position."""
        if self.cells == 1:
            return self._with(self._plain.whole(), self.steps)
        return self._then(self._plain.whole(), self._all())

    def everywhere(self) -> ReceptiveField:
        """Return the field behind a layer each of whose elements reads every position."""
        return self._then(self._plain.everywhere(), f"{self._all()} at every position")

    def _all(self) -> str:
        after = self._plain.whole()
        if self.fine > 1:
            return f"r = {after.size}, all {self.cells} positions"
        reached = f"{self.size} + ({self.cells} − 1) · {self.jump}"
        return f"r = min({reached}, {self.inputs}) = {after.size}, all {self.cells} positions"

    def merged(self, *others: ReceptiveField) -> ReceptiveField:
        """Return the field behind a merge."""
        after = self._plain.merged(*others)
        sizes = [field.size for field in (self, *others)]
        if len(set(sizes)) == 1:
            return self._with(after, self.steps)
        return self._then(after, f"r = max({', '.join(map(str, sizes))}) = {after.size}, j = {after.step}")

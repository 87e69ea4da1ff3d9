"""Predictions as lines of text: rows of a table, and JSON."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import InputError
from cnnspec.graph.spec import Spec
from cnnspec.training import prediction
from cnnspec.training.prediction import Prediction, meaning


class Form(ABC):
    """The text of a prediction."""

    def __init__(self, spec: Spec, top: int) -> None:
        self.spec = spec
        self.top = top
        self.meanings = {name: meaning(spec, name) for name in spec.graph.output_names}

    def head(self) -> str:
        """Return the lines before the first prediction."""
        return ""

    @abstractmethod
    def text(self, one: Prediction) -> str:
        """Return the line of a prediction, with its end."""

    @abstractmethod
    def source(self, line: str) -> str:
        """Return the source of the prediction that a line holds."""

    def ranked(self, name: str, y: Array) -> list[tuple[int, str, float]]:
        """Return the most probable classes of a vector: (index, name, probability)."""
        found, _ = prediction.probabilities(self.spec.graph.output_nodes[name], y)
        names = prediction.class_names(self.spec, name)
        return [(int(i), names[i], float(found[i])) for i in np.argsort(-found, kind="stable")[: self.top]]

    def labels(self, name: str, y: Array) -> dict[str, float]:
        """Return the probability of each label by name."""
        found = prediction.label_probabilities(self.spec.graph.output_nodes[name], y)
        return dict(zip(prediction.class_names(self.spec, name), map(float, found), strict=True))


class Table(Form):
    """CSV with a header: `file,class,probability,…`, `file,<label>,…,labels` or `file,<number>,…`."""

    def __init__(self, spec: Spec, top: int) -> None:
        super().__init__(spec, top)
        for name, found in self.meanings.items():
            if len(spec.graph.output_nodes[name].shape) > 1:
                remedy = "masks and images go to PNGs (-o FOLDER)" if found in ("mask", "image") else "use -o FILE.npy"
                raise InputError(f"a map is no row of a table, and `{name}` is one: {remedy}")

    def head(self) -> str:
        """Return the names of the columns."""
        columns = ["file"]
        for name, found in self.meanings.items():
            if found == "classes":
                count = min(self.top, self.spec.graph.output_nodes[name].shape[0])
                own = [f"{key}{'' if i == 0 else i + 1}" for i in range(count) for key in ("class", "probability")]
            else:
                own = list(prediction.class_names(self.spec, name))
                own += ["labels"] if found == "labels" else []
                own = ["value"] if own == ["0"] else own
            columns += own if len(self.meanings) == 1 else [f"{name}.{key}" for key in own]
        return _row(columns)

    def text(self, one: Prediction) -> str:
        """Return the row of a prediction."""
        cells: list[Any] = [one.source]
        for name, found in self.meanings.items():
            y = one.outputs[name]
            if found == "classes":
                cells += [cell for _, label, p in self.ranked(name, y) for cell in (label, f"{p:.6g}")]
            elif found == "labels":
                of_each = self.labels(name, y)
                cells += [f"{p:.6g}" for p in of_each.values()]
                cells.append(";".join(label for label, p in of_each.items() if p > 0.5))
            else:
                cells += [f"{number:.9g}" for number in y]
        return _row(cells)

    def source(self, line: str) -> str:
        """Return the first cell."""
        return next(csv.reader([line]))[0]


def _row(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


class Records(Form):
    """JSON lines: `{"file": …, "top": […]}`, `{"labels": …}` or `{"output": …}`; by name under `outputs` of several."""

    def text(self, one: Prediction) -> str:
        """Return the object of a prediction."""
        found = {name: self._of(name, y) for name, y in one.outputs.items()}
        own = next(iter(found.values())) if len(found) == 1 else {"outputs": found}
        return json.dumps({"file": one.source} | own, ensure_ascii=False) + "\n"

    def _of(self, name: str, y: Array) -> dict[str, Any]:
        if self.meanings[name] == "classes":
            ranked = self.ranked(name, y)
            return {"top": [{"class": label, "index": i, "probability": p} for i, label, p in ranked]}
        if self.meanings[name] == "labels":
            return {"labels": self.labels(name, y)}
        if self.meanings[name] == "mask":
            return {"mask": prediction.mask(self.spec.graph.output_nodes[name], y).tolist()}
        return {"output": y.tolist()}

    def source(self, line: str) -> str:
        """Return the file."""
        return str(json.loads(line)["file"])

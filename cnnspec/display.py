"""Rich forms in a notebook, which stand on a higher floor than the classes that have them.

`Graph` stands below the diagrams and tables that show it, so it cannot import them; the same holds for a `Report`, an
`Evaluation` or the result of a training. Such a class derives from `Rich` and knows nothing else of its pictures. When
IPython asks an object how it looks, `Rich` looks up the function of `cnnspec.notebook` for its class in `RENDERERS`,
imports its module, and calls it, as `import cnnspec` finds public names on first use. Nothing is imported where no
notebook asks.

To give a class a rich form: derive it from `Rich`, add its row to `RENDERERS`, and write the function.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

RENDERERS = {
    "Graph": "networks.graph",
    "Spec": "networks.spec",
    "Report": "networks.report",
    "Model": "networks.model",
    "Evaluation": "training.evaluation",
    "Result": "training.result",
    "ImportedNetwork": "exchange.imported",
    "Exported": "exchange.exported",
    "FeatureMaps": "maps.feature_maps",
}
"""The function of `cnnspec.notebook` that shows each class: object -> {MIME type: content}."""


class Rich:
    """Base of the classes that have a rich form in a notebook."""

    __slots__ = ()

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return the forms of the object by MIME type; IPython calls this."""
        home = next(RENDERERS[cls.__name__] for cls in type(self).__mro__ if cls.__name__ in RENDERERS)
        module, _, function = home.rpartition(".")
        forms: dict[str, Any] = getattr(import_module(f"cnnspec.notebook.{module}"), function)(self)
        return {
            kind: content
            for kind, content in forms.items()
            if (not include or kind in include) and kind not in (exclude or ())
        }

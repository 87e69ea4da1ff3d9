"""The conformance kit: every layer of a backend, in value and in gradient, against its definition in float64.

Uses runtime, data, language and what is below; imports no backend.

To test a backend, whose entry point is named `mine`:

    import pytest
    from cnnspec.testing import CASES, check_case

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_conformance(case):
        assert check_case("mine", case) == []

`check_backend("mine")` returns a list of all failures instead. A third party's layer needs a definition and cases:

    from cnnspec.testing import Case, defines

    @defines
    def square(layer, node, params, x):  # the function has the name of the layer's kind; x is one sample
        return x**2

    check_backend("numpy", cases=[Case("square-image", "square", "- square", (2, 3, 3))])
"""

from cnnspec.testing.case import Case
from cnnspec.testing.cases import CASES
from cnnspec.testing.conformance import Failure, check_backend, check_case
from cnnspec.testing.definitions import DEFINITIONS, defines
from cnnspec.testing.functions import elementwise
from cnnspec.testing.reference import gradients, run, run_training

__all__ = [
    "CASES",
    "DEFINITIONS",
    "Case",
    "Failure",
    "check_backend",
    "check_case",
    "defines",
    "elementwise",
    "gradients",
    "run",
    "run_training",
]

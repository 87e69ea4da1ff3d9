"""The tests of the live page need its extra."""

from __future__ import annotations

import pytest

for _module in ("starlette", "uvicorn", "watchfiles", "jinja2", "PIL"):
    pytest.importorskip(_module, reason="the extra `live` is not installed")

"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import mlpcore


@pytest.fixture(autouse=True)
def _keep_num_threads() -> Iterator[None]:
    """Whatever number of threads a test sets, the next one starts with the default."""
    yield
    mlpcore.set_num_threads(None)

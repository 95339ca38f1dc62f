"""What a large Hessian takes beyond its result, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    from bench import memory
finally:
    del sys.path[0]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not memory.STATUS.exists(), reason="this system has no /proc"),
]


@pytest.mark.parametrize("kind", memory.KINDS)
def test_a_hessian_of_750_megabytes_takes_200_more_at_most(kind):
    beyond, result = memory.beyond_result((16, 64, 64, 64, 4), 1024, kind)
    assert result == 8 * 9668**2
    assert beyond < 200e6


@pytest.mark.parametrize("kind", memory.KINDS)
def test_memory_does_not_grow_with_the_samples(kind):
    """N W numbers would be 800 MB more."""
    few, many = (memory.beyond_result((8, 50, 1), n, kind)[0] for n in (2000, 202_000))
    assert many < few + 20e6

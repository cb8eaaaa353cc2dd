import pytest

from kdtheory.theorems import filter_algebra
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(filter_algebra))
def test_theorem(law, theorem):
    law(theorem)

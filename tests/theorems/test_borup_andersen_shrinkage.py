import pytest

from kdtheory.theorems import borup_andersen_shrinkage
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(borup_andersen_shrinkage))
def test_theorem(law, theorem):
    law(theorem)

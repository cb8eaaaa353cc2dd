"""Fresh random numbers for every test, and Hypothesis profiles.

Profiles: dev (50 examples), ci (200), large (2,000), all derandomised; choose with HYPOTHESIS_PROFILE."""

import os

for library in ("OPENBLAS", "OMP", "MKL"):  # many small matrices: a second thread only waits, and waits busily
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's threads otherwise spin on a busy machine

import numpy as np
import pytest
from hypothesis import settings

for name, examples in (("dev", 50), ("ci", 200), ("large", 2000)):
    settings.register_profile(name, max_examples=examples, deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def _fresh_generator(request, monkeypatch):
    """A test sees the same numbers alone and among others: a module's RNG starts anew for each."""
    if hasattr(request, "module") and hasattr(request.module, "RNG"):
        monkeypatch.setattr(request.module, "RNG", np.random.default_rng(0))

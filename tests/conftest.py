"""Hypothesis profiles: dev (50 examples), ci (200), large (2,000), all derandomised; choose with HYPOTHESIS_PROFILE."""

import os

from hypothesis import settings

for name, examples in (("dev", 50), ("ci", 200), ("large", 2000)):
    settings.register_profile(name, max_examples=examples, deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

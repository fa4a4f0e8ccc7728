"""How hard Hypothesis tries: anew each time, or in CI the same for the same commit, or in a hunt for long."""

import os

from hypothesis import settings

EXAMPLES = int(os.environ.get("EXAMPLES", "5000"))

# Without a deadline for a single example: a machine that is busy is no fault of ours.
settings.register_profile("anew", max_examples=150, deadline=None)
settings.register_profile("same", settings.get_profile("anew"), derandomize=True, print_blob=True)
settings.register_profile("hunt", settings.get_profile("anew"), max_examples=EXAMPLES, print_blob=True)
settings.load_profile("same" if "CI" in os.environ else "anew")

"""Faults of kafka-python 3.0.12 that neither a setting nor a public call avoids, one a file.

Each file patches one fault and imports nothing of this project. To drop a workaround, delete its
file and its test in tests/workarounds/, which fails once the fault is gone.
"""

import pkgutil
from importlib import import_module

from kafka import __version__

RELEASE = "3.0.12"

ONLY_FOR = f"the workarounds for faults of {RELEASE} are left out"


def apply() -> bool:
    """Replace the faulty methods; whether this is the release that they were written for."""
    if __version__ != RELEASE:
        return False
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return True

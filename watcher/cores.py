"""No core dump of this process: its memory holds the receivers' secrets.

Knows one limit of the system. Refuses to know what is secret.
"""

from __future__ import annotations

import resource
from contextlib import suppress

__all__ = ["forbid_core_dumps"]


def forbid_core_dumps() -> None:
    """For this process and all that it starts; not even they can take it back."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

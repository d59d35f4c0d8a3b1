"""The API: its two calls, its envelope and paging, and when a sweep of it is whole.

Refuses to know what a change is.
"""

from watcher.kie.client import (
    KieClient,
    Sighting,
    SourceError,
    SourceReason,
    Sweep,
    Traffic,
    open_client,
)

__all__ = [
    "KieClient",
    "Sighting",
    "SourceError",
    "SourceReason",
    "Sweep",
    "Traffic",
    "open_client",
]

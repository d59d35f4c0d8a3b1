"""The watch looks at itself: metrics, health over HTTP, a heartbeat, and the lookout for alarms.

Each module is imported where it is needed: a watcher without `web` loads no metrics library.
"""

"""Receivers: one send, one outcome, by a process of its own.

The watcher itself uses `receiver`, `client`, `outcome` and what is pure of `formats`. The rest
loads Apprise and is imported in the sender alone.
"""

"""Receivers: one send, one outcome, by a process of its own.

The watcher itself uses `receiver`, `client`, `outcome`, the frames of `sender`, and what is pure of
`addresses` and `formats`. What is left loads Apprise, in the sender alone.
"""

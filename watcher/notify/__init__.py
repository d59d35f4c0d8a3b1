"""Apprise: one receiver, one send, one outcome.

Apprise is imported inside functions: loading all of its some 180 services takes 9 MiB and a quarter
of a second, which `--help` and a watcher without receivers need not spend.
"""

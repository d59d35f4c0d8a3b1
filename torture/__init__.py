"""Trials of what is promised for bad days, each from a seed, until a count or a time is reached.

`python -m torture` runs them; the test suite runs a short form of each.
"""

"""Proof under fire: what was promised for bad days, tried by seed until a count or a time is up.

`python -m torture` runs it; the test suite runs a short form of each trial.
"""

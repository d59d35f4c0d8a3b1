"""Measurements of the promised figures: time, memory, requests and bytes. `make bench` runs them.

They are no tests: a figure depends on the machine and on its other work.
"""

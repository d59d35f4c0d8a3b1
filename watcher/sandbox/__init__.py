"""Templates that other people wrote, filled in where they can do no harm.

The only user of Jinja2, run as a process of its own (`python -m watcher.sandbox`) and loaded by
nothing else. Refuses to know models, changes and services: it is given plain values.
"""

"""How fast, how lean, how quick to tell: the promised figures, measured. `make bench` runs it.

No part of the program and none of the tests: a figure depends on the machine and its neighbours.
"""

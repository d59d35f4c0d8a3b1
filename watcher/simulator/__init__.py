"""A Kie-like API on loopback: an invented catalogue, scripted markets, scripted faults."""

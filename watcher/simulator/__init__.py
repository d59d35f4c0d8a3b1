"""A Kie-like API on loopback with an invented catalogue, for the demo and the tests."""

"""Apprise: one receiver, one send, one outcome."""

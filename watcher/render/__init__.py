"""How messages are worded and laid out for each service, with untrusted text made harmless."""

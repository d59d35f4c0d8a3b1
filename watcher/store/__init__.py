"""The state in one SQLite file: what is believed, what happened, what is still to be sent."""

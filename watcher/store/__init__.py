"""The state in one SQLite file: the catalogue, its history, and what is still to be sent."""

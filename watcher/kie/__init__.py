"""The API: its calls, what its replies say, and when a reading of it is whole."""

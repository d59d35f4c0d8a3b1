"""The API: its calls, what its replies say, and when a sweep of it is complete."""

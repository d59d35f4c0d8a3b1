"""Charts of price moves as PNG, drawn by a worker process."""

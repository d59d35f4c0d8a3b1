"""Charts of price moves as PNG, drawn by a process of its own."""

"""Messages by a receiver's own Jinja2 template, filled in by a process of its own."""

"""Messages by a receiver's own Jinja2 template, filled by a worker process."""

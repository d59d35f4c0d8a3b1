"""What tells operators that it works: alarms, heartbeat, metrics, health pages, systemd."""

"""The watch watched: alarms for operators, heartbeat, metrics, health pages, systemd."""

"""kie-watcher: watches Kie.ai's model prices and tells people what really changed."""

__version__ = "0.1.0"

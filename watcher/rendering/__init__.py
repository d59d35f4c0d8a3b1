"""What a message says and how it looks in each service's markup; strangers' text made harmless.

Refuses to know how a message is sent, and to whom.
"""

from watcher.rendering.harmless import harmless
from watcher.rendering.message import Markup, Message, Service, render

__all__ = ["Markup", "Message", "Service", "harmless", "render"]

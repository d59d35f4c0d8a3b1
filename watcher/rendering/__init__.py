"""What a message says and how it looks in each service's markup; strangers' text made harmless.

Refuses to know how a message is sent, and to whom.
"""

from watcher.rendering.digest import Digest
from watcher.rendering.dress import Markup, Service
from watcher.rendering.facts import Facts, Telling
from watcher.rendering.harmless import harmless
from watcher.rendering.message import Message, render

__all__ = ["Digest", "Facts", "Markup", "Message", "Service", "Telling", "harmless", "render"]

"""The memory: what is believed, what happened, what is still to be told, in one SQLite file.

Refuses to know the network and the clock.
"""

from watcher.store.state import (
    FAILED,
    INCONCLUSIVE,
    Store,
    open_reader,
    open_store,
)
from watcher.store.statefile import (
    ConflictError,
    InUseError,
    NoStateError,
    StateError,
)
from watcher.store.values import (
    Believed,
    Catalogue,
    Commit,
    Draft,
    KnownModel,
    MessageState,
    OpenHold,
    OutboxRequest,
    OutboxView,
    PollStatus,
    ReceiverStatus,
    Recorded,
    Settlement,
    Status,
    StoredMessage,
    StoredSilence,
    TakenRequests,
    Waiting,
    Wish,
    believed_after,
)
from watcher.store.views import (
    Views,
)

__all__ = [
    "FAILED",
    "INCONCLUSIVE",
    "Believed",
    "Catalogue",
    "Commit",
    "ConflictError",
    "Draft",
    "InUseError",
    "KnownModel",
    "MessageState",
    "NoStateError",
    "OpenHold",
    "OutboxRequest",
    "OutboxView",
    "PollStatus",
    "ReceiverStatus",
    "Recorded",
    "Settlement",
    "StateError",
    "Status",
    "Store",
    "StoredMessage",
    "StoredSilence",
    "TakenRequests",
    "Views",
    "Waiting",
    "Wish",
    "believed_after",
    "open_reader",
    "open_store",
]

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
    DamagedError,
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
    OutboxView,
    PollStatus,
    ReceiverStatus,
    Recorded,
    Settlement,
    Status,
    StoredMessage,
    StoredSilence,
    Waiting,
    believed_after,
)
from watcher.store.views import (
    Views,
)
from watcher.store.wishes import (
    AcceptHolds,
    AddSilence,
    EndSilence,
    HoldName,
    OutboxRequest,
    Request,
    StartOver,
    TakenRequests,
    Wish,
)

__all__ = [
    "FAILED",
    "INCONCLUSIVE",
    "AcceptHolds",
    "AddSilence",
    "Believed",
    "Catalogue",
    "Commit",
    "ConflictError",
    "DamagedError",
    "Draft",
    "EndSilence",
    "HoldName",
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
    "Request",
    "Settlement",
    "StartOver",
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

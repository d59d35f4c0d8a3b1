"""Apprise: one receiver, one send, one outcome.

The only room that imports Apprise, and only once a receiver is checked or opened: its first use
imports some 180 services, which `--help` and a watcher without receivers need not pay for.
"""

from watcher.notify.address import check
from watcher.notify.outcome import Outcome, Verdict
from watcher.notify.receiver import AppriseReceiver, Receiver, open_receiver
from watcher.notify.terminal import TERMINAL, TerminalReceiver

__all__ = [
    "TERMINAL",
    "AppriseReceiver",
    "Outcome",
    "Receiver",
    "TerminalReceiver",
    "Verdict",
    "check",
    "open_receiver",
]

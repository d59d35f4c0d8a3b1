"""What is wrong with the watch itself, and who is told: facts in, messages to operators out.

Refuses to know how a fact is learned and how a message is sent. Time comes in as an argument.
"""

from watcher.alarms.audience import audience
from watcher.alarms.facts import (
    ClockJumped,
    Configured,
    Fact,
    Looked,
    Pending,
    Polled,
    StateFailed,
    StateWorked,
    Ticked,
    Tried,
)
from watcher.alarms.judging import Judgement, Policy, judge
from watcher.alarms.troubles import AlarmKind, Book, Trouble

__all__ = [
    "AlarmKind",
    "Book",
    "ClockJumped",
    "Configured",
    "Fact",
    "Judgement",
    "Looked",
    "Pending",
    "Policy",
    "Polled",
    "StateFailed",
    "StateWorked",
    "Ticked",
    "Tried",
    "Trouble",
    "audience",
    "judge",
]

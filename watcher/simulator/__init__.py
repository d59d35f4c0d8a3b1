"""A Kie-like API on loopback, with an invented catalogue, scripted markets and scripted faults.

What the demo plays and what the tests use as their upstream. Refuses to know the rest of the
package, so that it can be its judge.
"""

from watcher.simulator.catalogue import Catalogue, Row, identity
from watcher.simulator.chance import Meaning, RandomEdit, random_edit
from watcher.simulator.edits import (
    Correct,
    Duplicate,
    Edit,
    FalPrice,
    Insert,
    Promotion,
    Recategorise,
    Relabel,
    Remove,
    Rename,
    Reprice,
    Rerate,
    Reunit,
)
from watcher.simulator.faults import (
    Bomb,
    CountsOff,
    Drip,
    Drop,
    Empty,
    Envelope,
    Fault,
    HalfJson,
    Hang,
    Html,
    Huge,
    PageCap,
    Raw,
    Redirect,
    Shape,
    Shift,
    Status,
    TotalOff,
    WrongShape,
)
from watcher.simulator.generator import generate
from watcher.simulator.market import ClearFaults, Lasting, Market, Script, Step
from watcher.simulator.plan import FaultPlan
from watcher.simulator.server import Simulator
from watcher.simulator.story import demo_script

__all__ = [
    "Bomb",
    "Catalogue",
    "ClearFaults",
    "Correct",
    "CountsOff",
    "Drip",
    "Drop",
    "Duplicate",
    "Edit",
    "Empty",
    "Envelope",
    "FalPrice",
    "Fault",
    "FaultPlan",
    "HalfJson",
    "Hang",
    "Html",
    "Huge",
    "Insert",
    "Lasting",
    "Market",
    "Meaning",
    "PageCap",
    "Promotion",
    "RandomEdit",
    "Raw",
    "Recategorise",
    "Redirect",
    "Relabel",
    "Remove",
    "Rename",
    "Reprice",
    "Rerate",
    "Reunit",
    "Row",
    "Script",
    "Shape",
    "Shift",
    "Simulator",
    "Status",
    "Step",
    "TotalOff",
    "WrongShape",
    "demo_script",
    "generate",
    "identity",
    "random_edit",
]

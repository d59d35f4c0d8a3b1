"""kie-watcher: watches Kie.ai's model prices and tells people what really changed.

One sentence: a poll turns what the API says into changes that are true, one transaction remembers
them together with what must be told, and workers tell it until it is accepted.

    poller ── kie.probe: as last time? ──► wait
       │
       └─ kie.sweep: whole, or refused
             │
          intake   catalog → matching + renames → diff → confirm → routing.plan
             │
          store    ONE transaction: snapshot, history, changes, holds, deliveries
             │
       gathering   routing.release → telling → rendering (or templates, charts)
             │
          outbox   notify: send ──► store: sent, to be tried again, or dead

Which room for what:

- a quirk of the listing: `prices`, `units`, `catalog`; a rule of identity: `matching`, `renames`
- a new kind of change: `changes` (its name), `diff` (when it is), `rendering.wording` (its words)
- what must be seen twice: `confirm`; when a sweep is whole: `kie.completeness`
- who hears of what, and when: `routing`; a setting: `config.settings`; a receiver's option:
  `config.receivers` and `notify`; a service's own format: `rendering`, `notify.formats`
- a table or a question to the memory: `store`; a command: `cli`
- what an operator sees: `alarms` (what is a trouble), `selfwatch` (pages, metrics, heartbeat),
  `log`, `systemd`
- who builds and joins everything: `daemon`, `onlookers`, `service`, `demo`
- a Kie-like API with a market and faults, for the demo and the tests: `simulator`

Everything above `store` in the drawing, and `routing`, `telling` and `rendering`, is values in,
values out: no network, no disk, no clock. A test holds these walls (`tests/test_imports.py`).
"""

__version__ = "0.1.0"

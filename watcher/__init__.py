"""kie-watcher: watches Kie.ai's model prices and tells people what really changed.

A poll turns what the API says into changes that are true, one transaction remembers them together
with what must be sent, and a worker for each receiver sends until it is accepted.

    poller ── kie.client: probe, the same as last time? ──► wait
       │
       └─ kie.client: sweep, complete or refused
             │   catalog: matching → diff → confirm         routing.plan
             │
          store.record    ONE transaction: snapshot, history, changes, holds, deliveries
             │
          outbox          routing.release → render → notify: send ──► sent, retry, or dead

Where to look:

- a quirk of the listing: `catalog.pricing` (amounts, units), `catalog.record`
- a rule of identity: `catalog.matching`; a new kind of change: `catalog.changes` (its name),
  `catalog.diff` (when it is one), `render.words` (how it is said)
- what must be seen twice: `catalog.confirm`; when a sweep is whole: `kie.completeness`
- who hears of what: `routing.match`, `routing.plan`; when, and in which message:
  `routing.release`, `routing.calendar`
- a setting: `config.settings`, for routes `config.routes`; a receiver's option: `config.settings`
  and `notify`
- a service's own format: `render.markup` and `notify.formats` (its limits), `render.message`,
  `render.email`
- a table, a query: `store`; a command or a column of its table: `cli`
- what an operator sees: `monitor` (alarms, heartbeat, metrics, health pages, systemd), `log`
- what runs in a process that can be killed: `worker`, with `render.templates`, `render.charts`
- what builds and joins everything: `app`; the demo and its market: `demo`, `simulator`

`catalog`, `routing`, `render` and `monitor.alarms` are values in, values out: no network, no disk,
no clock. A test holds these walls (`tests/test_imports.py`).
"""

__version__ = "0.1.0"

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
          outbox          routing.release → wording → notify: send ──► sent, retry, or dead

Where to look:

- a quirk of the listing: `catalog.pricing` (amounts, units), `catalog.record`
- a rule of identity: `catalog.matching`; a new kind of change: `catalog.changes` (its name),
  `catalog.diff` (when it is one), `routing.flapping` (what it moves, to and fro), `render.words`
  (how it is said)
- which changes (removals, implausible prices …) are held until a later sweep shows them too:
  `catalog.confirm`; what many models show at once: `catalog.floods`; the value of a credit and its
  unit: `catalog.credit_value`; when a sweep is complete: `kie.completeness`
- which receivers get a change: `routing.match`, `routing.plan`; when, and in which message:
  `routing.release`, `routing.calendar`; how a batch becomes a message: `wording`
- a key of the configuration: `config.settings`, for routes `config.routes`; `app` hands it to
  whoever uses it; a receiver's option: `config.settings` and `notify`
- a service's own format: `render.markup` and `notify.formats` (its limits), `render.message`,
  `render.email`; its request, where it is ours: its module in `notify`
- sending: `notify.receiver` → `notify.client` (in the watcher) → `notify.sender` (a process) →
  `notify.job` (a fork of it); what came of it: `notify.outcome`
- a table of the database, a query: `store`; a command: its module in `cli`; a column of `models`
  or `changes`, a line of `status`: `cli.query`; how a list is printed: `cli.listing`
- an alarm: `monitor.alarms` (when), `render.notices` (its words); what else an operator sees: the
  rest of `monitor` (heartbeat, metrics, health pages, systemd), `log`; what the poller and the
  outbox report of themselves: `observer`
- how long to wait before the next poll or try: `schedule`; whether the clock was set: `clock`;
  what is safe to show: `safe_text`
- what runs in a process that can be killed: `worker`, with `render.templates`, `render.charts`;
  what runs in a thread where there is much of it, so that the event loop goes on: `heavy`
- what builds and joins everything: `app`; what runs, reloads and stops it: `daemon`; the demo and
  its market: `demo`, `simulator`

`catalog`, `routing`, `render` and `monitor.alarms` are values in, values out: no network, no disk,
no clock. `tests/test_imports.py` checks it.
"""

__version__ = "0.1.0"

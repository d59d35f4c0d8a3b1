"""Which receivers get a change, when, and in which message: routes, thresholds, quiet hours.

Two decisions: `plan` when a change is recorded, `release` when a receiver's message is made.
"""

"""Who hears of a change, when, and as part of what: routes, thresholds, quiet hours, digests.

Two decisions: `plan` when a change is believed, `release` when a receiver's message is made.
"""

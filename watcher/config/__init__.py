"""The configuration: from YAML to typed settings, with errors that a person can act on.

Names nothing here: `errors` loads in a blink for the commands that need no settings, `settings`
brings pydantic along.
"""

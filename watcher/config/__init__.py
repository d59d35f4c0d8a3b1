"""The configuration: from YAML to typed settings, with errors that a person can act on."""

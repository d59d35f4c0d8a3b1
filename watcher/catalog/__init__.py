"""What the listing means, as values: records, identity, changes, and which changes count."""

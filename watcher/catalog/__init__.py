"""What the listing means, as values: records, identity, changes and when they are believed."""

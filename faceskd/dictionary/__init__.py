"""Building dictionaries of facial components."""

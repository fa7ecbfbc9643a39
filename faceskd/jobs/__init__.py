"""Jobs that run once: commands, what they need, and whether they are done."""

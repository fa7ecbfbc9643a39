"""The plans of `reproduce`, `release` and the quick start: their tables, figures and reports."""

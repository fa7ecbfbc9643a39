"""The paper's experiment and the quick start: tables, figures and pages."""

"""Parts of reports: tables, picture grids and curves."""

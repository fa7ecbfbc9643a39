"""Methods side by side: figures, skin tones, statistics, report."""

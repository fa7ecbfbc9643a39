"""From photos to batches: preparing faces, degrading them, data sets."""

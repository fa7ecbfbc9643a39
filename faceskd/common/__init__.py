"""What everything rests on: errors, files, images, configuration."""

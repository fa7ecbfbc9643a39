"""faceskd studio: a web application for restoring photos."""

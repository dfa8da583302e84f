"""Images of README and documentation."""

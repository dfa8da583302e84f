"""Files: written whole or not at all. Knows arrays, no structures."""

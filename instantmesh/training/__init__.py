"""Training of every stage on objects of one's own."""

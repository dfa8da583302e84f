"""Views that somebody else made: read with their cameras, checked, and moved to where the systems expect the object."""

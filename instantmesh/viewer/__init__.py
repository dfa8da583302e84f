"""Looking at a mesh from all sides: a page for browsers and notebooks that needs no network."""

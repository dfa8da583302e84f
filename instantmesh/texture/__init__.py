"""Textures: surfaces cut open and laid flat, and the colours that go there."""

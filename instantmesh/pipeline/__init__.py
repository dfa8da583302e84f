"""From a photo to a mesh: the steps wired together, and what they are asked for and give."""

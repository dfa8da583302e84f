"""Data sets: 3D assets rendered, filtered, checked, packed and read."""

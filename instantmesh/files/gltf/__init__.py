"""glTF 2.0 files of other people: from bytes to the parts of an asset. `reader` is the way in."""

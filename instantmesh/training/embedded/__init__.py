"""How the embedded model `tiny` is trained from nothing: its data set with signed distances, and its four stages.

Users who train or fine-tune models need none of this; `training.stages` is theirs.
"""

"""The metrics of one reconstruction: shape, images, networks' judgement, defects."""

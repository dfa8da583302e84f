"""A small pipeline of two stages. The embedded model reconstructs from the photo itself; its other parts make one."""

from typing import Any

from instantmesh import Pipeline


def two_stages(**options: Any) -> Pipeline:
    """The embedded model, told to start from the views of its multiview stage as the official models do."""
    pipeline = Pipeline.from_pretrained("tiny", device="cpu", multiview=True, **options)
    model = pipeline.reconstructor.model
    model.config = model.config.model_copy(update={"photo": "not_used"})
    return pipeline

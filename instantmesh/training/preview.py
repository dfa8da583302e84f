"""Images for a run's log."""

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import EmptySurfaceError
from instantmesh.files.image_files import tile
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.render.preview import preview_sheet
from instantmesh.systems.instantmesh import InstantMesh


@torch.no_grad()
def reconstruction_images(
    model: InstantMesh, images: Float[Tensor, "v 3 h w"], cameras: Float[Tensor, "v 16"]
) -> dict[str, Tensor]:
    """An object's views, and its mesh from four sides in colour and grey (while there is a surface)."""
    previews = {"input": tile(images, columns=3)}
    was_training = model.training
    try:
        planes = model(images[None], cameras[None])[0].float()  # in the run's precision; the rest needs float32
        with torch.autocast(images.device.type, enabled=False):
            mesh = Reconstructor(model).extract(model.field(planes))
            previews["mesh"] = preview_sheet(mesh.to("cpu"), images.shape[-1])
    except EmptySurfaceError:
        pass
    finally:
        model.train(was_training)
    return previews

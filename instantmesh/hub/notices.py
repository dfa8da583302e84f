"""Whose work a model is and under which licence, said once."""

import logging

from instantmesh.errors import OutputError
from instantmesh.files.atomic import write_bytes
from instantmesh.hub.download import cache_folder
from instantmesh.hub.registry import Model

_log = logging.getLogger("instantmesh")


def announce(model: Model) -> None:
    """Log (as a warning, which is shown by default) source and licence of every part of `model`, once per machine.

    A file in the cache records that it was said; where none can be written it is said at every load.
    """
    lines = [f"{part.role}: {part.licence}; {part.source}" for part in model.parts]
    text = f"{model.name}, weights and licences:\n" + "\n".join(f"  {line}" for line in lines)
    record = cache_folder() / "announced" / f"{model.name}.txt"
    try:
        if record.is_file() and record.read_text(encoding="utf-8") == text:
            return
        _log.warning(text)
        write_bytes(record, text.encode())
    except (OutputError, OSError, UnicodeDecodeError) as error:
        _log.debug("the licence notice's record can't be kept: %s", error)

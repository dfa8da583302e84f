"""settings.json of a folder that a job fills: what decides its content, so that a later run goes on with the same."""

import json
from pathlib import Path
from typing import Any

from instantmesh.errors import InputError
from instantmesh.files.atomic import write_bytes

SETTINGS = "settings.json"


def claim_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings into the folder, or compare them with those that are there.

    Args:
        folder: made where it is missing.
        settings: ready for JSON; tuples count as lists.

    Raises:
        InputError: the folder was begun with other settings, or its file can't be read.
        OutputError: it can't be written.
    """
    path, wanted = folder / SETTINGS, json.loads(json.dumps(settings))
    if not path.exists():
        write_bytes(path, (json.dumps(wanted, indent=1) + "\n").encode())
        return
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({error})") from error
    different = [f"{key} {found.get(key)} and not {wanted[key]}" for key in wanted if found.get(key) != wanted[key]]
    if different:
        raise InputError(f"{folder} was begun with other settings: {', '.join(different)}; name another folder")

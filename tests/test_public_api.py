"""What users import is completely typed, says what it is, and is all that the package hands out."""

import inspect
import json
import subprocess
import sys

import pytest

import instantmesh
from tests.paths import ROOT


def qualified(name: str) -> str:
    exported = getattr(instantmesh, name)
    return f"{exported.__module__}.{exported.__qualname__}" if hasattr(exported, "__qualname__") else ""


def test_every_export_has_a_docstring() -> None:
    for name in instantmesh.__all__:
        if name != "Field":  # a union of types
            assert inspect.getdoc(getattr(instantmesh, name)), name


@pytest.mark.slow
def test_the_public_api_is_completely_typed() -> None:
    """By pyright; attributes of networks, whose types are inferred from what is assigned in `__init__`, may be so."""
    command = ["pyright", "--pythonpath", sys.executable, "--ignoreexternal", "--verifytypes", "instantmesh"]
    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, cwd=ROOT)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    exported = [qualified(name) for name in instantmesh.__all__]
    public = [s for s in symbols if any(s["name"] == name or s["name"].startswith(f"{name}.") for name in exported)]
    assert len(public) > 150
    assert [s["name"] for s in public if not s["isTypeKnown"] and not s["isTypeAmbiguous"]] == []
    inferred = [s["name"] for s in public for d in s["diagnostics"] if "missing type annotation" in d["message"]]
    assert inferred == []
    without_docstrings = [s["name"] for s in public for d in s["diagnostics"] if "No docstring" in d["message"]]
    assert without_docstrings == []

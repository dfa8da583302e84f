"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

from tests.paths import GOLDEN

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: no test uses the network


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Reference numbers computed by the systems' released code."""
    return GOLDEN


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep converted checkpoints and notices out of the user's cache."""
    monkeypatch.setenv("INSTANTMESH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Without the tests' run-time check of shapes, which would answer before the library does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

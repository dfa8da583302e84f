"""Code blocks of README and documentation: Python parses and imports what exists, commands have their options."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import instantmesh
from instantmesh.cli import app
from tests.paths import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in _BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every line that calls `instantmesh`, without comments; continued lines as one."""
    for block in blocks(page, ""):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("instantmesh "):
                yield shlex.split(line, comments=True)[1:]


def missing_imports(code: str) -> list[str]:
    """Names of this package that the code imports, or reads from `instantmesh`, and that don't exist."""
    missing = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "instantmesh":
            module = importlib.import_module(node.module or "")
            missing += [f"{node.module}.{alias.name}" for alias in node.names if not hasattr(module, alias.name)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "instantmesh":
            missing += [] if hasattr(instantmesh, node.attr) else [f"instantmesh.{node.attr}"]
    return missing


def unknown_words(words: list[str]) -> list[str]:
    """Commands and options among `words` that the command line doesn't have."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = [word.partition("=")[0] for word in rest if word.startswith("-")]
    return [option for option in used if option not in options]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_import_what_exists(page: Path):
    assert [name for code in blocks(page, "python") for name in missing_imports(code)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_have_their_options(page: Path):
    found = [(words, unknown_words(words)) for words in commands(page) if "CONFIG" not in words]
    assert [(words, unknown) for words, unknown in found if unknown] == []


def test_the_checks_find_mistakes():
    """Without this, a pattern that matches nothing would pass everywhere."""
    assert missing_imports("from instantmesh import Pipeline, Nothing\ninstantmesh.nowhere()") == [
        "instantmesh.Nothing",
        "instantmesh.nowhere",
    ]
    assert unknown_words(["generate", "a.png", "-o", "out", "--seed=1", "--no-such"]) == ["--no-such"]
    assert unknown_words(["data", "nothing"]) == ["nothing"]
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 8
    assert sum(len(list(commands(page))) for page in PAGES) >= 20

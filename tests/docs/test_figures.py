"""The drawings of docs/conventions.md are those that the present cameras give."""

import re
import runpy
from collections.abc import Callable

import pytest

from tests.paths import ROOT

DOCS = ROOT / "docs"
DRAWINGS: dict[str, Callable[[], str]] = runpy.run_path(str(DOCS / "figures" / "draw.py"))["DRAWINGS"]
_NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_up_to_date(name: str):
    """Numbers within a fifth of a pixel: the last digit may differ between machines."""
    written, drawn = (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8"), DRAWINGS[name]()
    assert _NUMBER.sub("", written) == _NUMBER.sub("", drawn), "run python docs/figures/draw.py"
    numbers = [float(number) for number in _NUMBER.findall(drawn)]
    assert [float(number) for number in _NUMBER.findall(written)] == pytest.approx(numbers, abs=0.2)

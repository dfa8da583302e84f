"""Where the tests' inputs lie, whatever the current folder is."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
"""Reference numbers computed by the systems' released code; `keys` holds names and shapes of official tensors."""
EXAMPLES = ROOT / "examples"

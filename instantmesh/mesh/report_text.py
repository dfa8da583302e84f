"""Numbers and lists in reports."""

from collections.abc import Sequence


def number(count: int, one: str, many: str | None = None) -> str:
    """`1 face`, `1,234 faces`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

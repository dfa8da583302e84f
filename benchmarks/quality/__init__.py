"""How good, and how near to the released codes."""

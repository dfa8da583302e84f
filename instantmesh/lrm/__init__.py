"""Parts that the family's reconstruction models are built of."""

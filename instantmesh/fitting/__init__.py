"""Making a reconstruction true to its photo: where the photo was taken from, and the shape's outline there."""

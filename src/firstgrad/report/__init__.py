"""Pages made from stored records."""

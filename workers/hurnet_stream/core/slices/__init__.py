"""One context of which several processes hold a part each, asked as if one process held all of it."""

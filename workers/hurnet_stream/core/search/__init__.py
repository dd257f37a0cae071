"""The exact search for the nearest rows: bounds that prune, and exact products that decide."""

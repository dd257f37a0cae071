"""All settings: read once, checked together, and explained if they are wrong."""

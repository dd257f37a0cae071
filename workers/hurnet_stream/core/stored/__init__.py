"""What is stored of a text: entries as columns, in batches, and how both become bytes."""

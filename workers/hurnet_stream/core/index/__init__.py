"""One context in memory: its rows, texts and answers, searched and summed."""

"""What the commands and the demo share: a client, lines of input, and what is shown on a terminal."""

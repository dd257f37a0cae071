"""The exact sums over all taught pairs that the weights are solved from."""

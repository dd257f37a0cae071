"""The weights in closed form, with a certificate of how good they are."""

"""From fetched bytes to records, without trust in who wrote them."""

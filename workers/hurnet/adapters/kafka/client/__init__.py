"""How a client of Kafka is made: its arguments, its one cluster, and our names for its errors."""

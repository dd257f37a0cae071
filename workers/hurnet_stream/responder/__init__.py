"""The responder: queries from Kafka are answered from all entries, and every answer has a receipt."""

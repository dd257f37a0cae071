"""What the brokers tell of topics and groups, and the topics that we create."""

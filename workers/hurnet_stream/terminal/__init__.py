"""What the commands and the demo share.

- `client` asks over Kafka, `questions` shows the answers, `lines` reads input line by line, `screen` prints.
- `deleting` and `resending` send records, `running`, `learned` and `system_status` look at a running system.
"""

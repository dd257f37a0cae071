"""What the commands and the demo share.

- `client` asks over Kafka, `questions` shows the answers, `lines` reads input line by line, `screen` prints.
- `deleting` and `resending` send records, `learned` looks at what weights have learned, `backup_files` reads
  backups.
- `trends` remembers looks at a running system (`overview`), `complaints` says what is wrong, `watch_screen`
  draws it.
"""

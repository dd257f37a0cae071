"""What the commands and the demo share.

- `client` asks over Kafka, `questions` shows the answers, `lines` reads input line by line, `screen` prints.
- `deleting` and `resending` send records, `learned` looks at what weights have learned, `backup_files` reads
  backups.
- `system_reader` looks at a running system: `running` who is there, `worker_pages` what workers say of
  themselves, `system_status` what it finds.
- `trends` remembers such looks, `complaints` says what is wrong, `watch_screen` draws it.
"""

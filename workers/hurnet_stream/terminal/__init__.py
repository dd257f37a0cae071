"""What the commands and the demo share.

- `questions` makes queries, `asking` asks many lines at once, `prompt` and `session` are the prompt of
  `hurnet ask`, `answers` and `score_sheet` show what came of it.
- `lines` reads input line by line, `conditions` what is typed for --where, `corrections` a file of them.
- `screen` prints, and `endings` ends commands.
- `deleting` and `resending` send records, `listing` reads the entries of a context, `learned` looks at what
  weights have learned, `receipts` at answers that are asked again, `backup_files` reads backups.
- `trends` remembers looks at a running system (`overview`), `complaints` says what is wrong, `watch_screen`
  draws it.
"""

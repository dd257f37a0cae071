"""The exit codes of all commands and workers, in one place.

| code | a command                                            | a worker                                |
|------|------------------------------------------------------|-----------------------------------------|
| 0    | did all of it                                        | was told to stop                        |
| 1    | did it, but not all is well: its help says what      | failed: starting it again may help      |
| 2    | did nothing: wrong options, settings or input, or a  | settings or topics are wrong: a person  |
|      | server is away                                       | must act                                |
| 3    | did it, but an entry, a context or records in Kafka  |                                         |
|      | are not there                                        |                                         |
| 70   |                                                      | hung, and was ended by its watchdog     |
| 130  | was interrupted by Ctrl-C                            | was forced to end at once               |
"""

from typing import Final

DONE: Final = 0
NOT_WELL: Final = 1
NOTHING_DONE: Final = 2
NOT_THERE: Final = 3
INTERRUPTED: Final = 130

FAILED: Final = 1
MISCONFIGURED: Final = 2
STUCK: Final = 70

r"""The exit codes of all commands and workers, in one place.

| code | a command                                            | a worker                                |
|------|------------------------------------------------------|-----------------------------------------|
| 0    | did all of it                                        | was told to stop                        |
| 1    | did it, but not all is well: its help says what; or  | failed: starting it again may help      |
|      | a fault of hurnet itself                             |                                         |
| 2    | did nothing: wrong options, settings or input, or a  | settings or topics are wrong: a person  |
|      | server is away                                       | must act                                |
| 3    | did it, as far as it could: an entry, a context, a   |                                         |
|      | topic or records in Kafka are not there              |                                         |
| 10   | `hurnet doctor`: Kafka can't be reached              |                                         |
| 11   | `hurnet doctor`: answers can't be read               |                                         |
| 12   | `hurnet doctor`: questions can't be sent             |                                         |
| 13   | `hurnet doctor`: no responder answers                |                                         |
| 14   | `hurnet doctor`: the store is away, or not followed  |                                         |
| 15   | `hurnet doctor`: ingest takes no texts in            |                                         |
| 16   | `hurnet doctor`: texts can't be sent                 |                                         |
| 70   |                                                      | hung, and was ended by its watchdog     |
| 129  | was ended because its terminal is gone (SIGHUP)      | the same                                |
| 130  | was interrupted by Ctrl-C                            | was forced to end at once               |
| 141  | nobody read on, as in `hurnet list \| head`           |                                         |
| 143  | was ended by SIGTERM                                 |                                         |
"""

from typing import Final

DONE: Final = 0
NOT_WELL: Final = 1
NOTHING_DONE: Final = 2
NOT_THERE: Final = 3
HUNG_UP: Final = 129
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
TERMINATED: Final = 143
"""These four are what a shell says of a program that the signal has ended."""

BROKEN_PART: Final = {
    "kafka": 10,
    "answers": 11,
    "queries": 12,
    "responder": 13,
    "store": 14,
    "ingest": 15,
    "texts": 16,
}
"""Of `hurnet doctor`: the part that is to be looked at first."""

FAILED: Final = 1
MISCONFIGURED: Final = 2
STUCK: Final = 70

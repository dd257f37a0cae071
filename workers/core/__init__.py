"""The pure core: maths and value types. No I/O, no clock, no logging, no import of ours from outside."""

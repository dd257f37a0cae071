"""The demo: a whole system on this machine, and six scenes that show what it is for.

    teaching     one fact is taught, and asked for at once
    correcting   a wrong answer is corrected, and other words for the same question are right, too
    forgetting   the fact is deleted, and nothing answers with it any more
    streaming    thousands of texts stream in while a worker is killed; then everything is counted
    measuring    how many answers are right, how many unrelated questions get none, how long it takes
    your_turn    the reader asks

Each scene is a module with `play(stage)`, and `story` plays them in this order. `stage` is what they share,
`backstage` the servers and workers behind it, `telling` prints, `data` are the texts. Whatever a scene claims
is computed from what just happened; a claim that does not hold is told, and makes the exit code 1.

Only `hurnet demo` imports this package. It is in the wheel so that everyone who installs hurnet with pip can
run it.
"""

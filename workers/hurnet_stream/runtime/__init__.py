"""What every worker runs in: the loop, its watchdog, its progress and its logs."""

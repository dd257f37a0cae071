"""Where `hurnet` begins. It imports next to nothing, so that Ctrl-C is heeded almost from the start."""

from hurnet_stream.terminal.first_moments import heed_signals_at_once


def main() -> None:
    heed_signals_at_once()
    from hurnet_stream.command_line import run

    run()


if __name__ == "__main__":
    main()

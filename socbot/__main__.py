"""``python -m socbot``: the same as the ``socbot`` command."""

from socbot.cli import run_and_exit

if __name__ == "__main__":
    run_and_exit()

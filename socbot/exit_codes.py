"""The exit codes of the ``socbot`` command; 75 and 78 are those of sysexits.h."""

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_REFUSED = 0, 1, 2, 3
EXIT_RESTART, EXIT_TRY_AGAIN, EXIT_CONFIGURATION = 26, 75, 78

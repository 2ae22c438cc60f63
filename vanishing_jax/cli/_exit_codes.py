"""What a shell sees: a script can branch on it."""

EXIT_CODES = {"healthy": 0, "vanishing": 3, "exploding": 4, "inconclusive": 5}
"""One code per verdict."""
FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended: 128 + 13

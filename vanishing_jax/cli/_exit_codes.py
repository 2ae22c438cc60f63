"""What a shell sees: a script can branch on it."""

EXIT_CODES = {"healthy": 0, "vanishing": 3, "exploding": 4, "inconclusive": 5}
"""One code per verdict."""
FAILED = 1
USAGE = 2
INTERRUPTED = 130

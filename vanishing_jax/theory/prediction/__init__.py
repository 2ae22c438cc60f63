"""The theory that fits a network, applied to it."""

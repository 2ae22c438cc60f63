"""Products of random matrices, and whether a matrix looks like a random one."""

"""What normalization makes of exponents."""

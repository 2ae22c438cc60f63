"""What gates keep of a state."""

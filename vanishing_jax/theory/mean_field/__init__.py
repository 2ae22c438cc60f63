"""Wide random networks: variance, gradients, spectrum, correlation, along any inputs."""

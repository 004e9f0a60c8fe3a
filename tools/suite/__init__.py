"""What tools/gpu-suite is made of."""

"""A GPU that is simulated: what differs between a CPU and CUDA can be tested where there is no card."""

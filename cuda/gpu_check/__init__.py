"""The steps of `cuda/gpu-check`."""

"""An exception in each callback of the loop: it ends its client, and nothing else."""

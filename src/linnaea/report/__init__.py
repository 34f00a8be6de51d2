"""A run folder → one HTML page, drawn from the files of the run and from nothing else."""

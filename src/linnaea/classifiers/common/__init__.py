"""What every classifier has: samples, labels, schedules, the progress of a training, saved models."""

"""Learning-rate schedules: the rate as a function of how far training has come."""

import math


def rate_at(done: float, *, base: float, schedule: str, warmup_epochs: float, epochs: int) -> float:
    """Return the learning rate when `done` epochs (a fraction counts) are over.

    A linear warm-up from 0 to base over warmup_epochs, then base ("constant"), or half a cosine down to
    0 at the last epoch's end ("cosine"; Loshchilov and Hutter 2017, without restarts).
    """
    if done < warmup_epochs:
        return base * done / warmup_epochs
    if schedule == "constant" or epochs <= warmup_epochs:
        return base
    progress = min((done - warmup_epochs) / (epochs - warmup_epochs), 1.0)
    return base * 0.5 * (1 + math.cos(math.pi * progress))

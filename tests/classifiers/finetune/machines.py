"""A machine and its work in round numbers, for plans that a hand can follow."""

from linnaea.classifiers.finetune.budget import Work
from linnaea.classifiers.finetune.speed import Speed

# Near MobileNetV2 on two cores, in round numbers: 100 views a second, 25 pictures trained.
TWO_CORES = Speed(
    size=224,
    decode=0.01,
    feature=0.01,
    regression=0.0005,
    whitening=1.0,
    whole=0.04,
    last=0.025,
    small=0.015,
    last_stage="blocks.3",
    first_size=128,
)
FLOWERS = Work(TWO_CORES, train=1000, val=500, after=1000, after_tuning=1000)

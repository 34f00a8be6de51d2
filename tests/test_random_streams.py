import numpy as np

from linnaea.random_streams import Purpose, stream


def test_a_stream_is_numpys_seed_sequence_of_its_four_numbers():
    expected = np.random.default_rng(np.random.SeedSequence([7, 2, 3, 1])).random(4)
    assert np.array_equal(stream(7, Purpose.SHUFFLE, epoch=3, index=1).random(4), expected)


def test_streams_of_different_purpose_epoch_or_index_differ():
    drawn = {
        stream(0, purpose, epoch, index).integers(2**62)
        for purpose in Purpose
        for epoch in range(3)
        for index in range(3)
    }
    assert len(drawn) == len(Purpose) * 9

"""The field's words on a page are explained at its end, and only those."""

import pytest

from linnaea.report.words import words_of


def test_words_that_a_reader_sees_are_explained():
    body = "<h2>Log\nloss</h2><p>Of the test pictures, 3 folds; recall</p>"
    assert list(words_of(body)) == ["fold", "log loss", "recall", "test set"]


@pytest.mark.parametrize(
    "unseen",
    ["<script>recall</script>", "<style>.recall{}</style>", '<a href="#recall">x</a>', "<svg>recall</svg>"],
)
def test_what_a_reader_does_not_see_is_not(unseen):
    assert words_of(unseen) == {}


def test_parts_of_words_do_not_count():
    assert words_of("manifold appoints recalled") == {}

import pytest

from linnaea import errors


def test_near_names_are_offered_and_all_names_where_nothing_is_near():
    assert errors.did_you_mean("minst", ["digits", "mnist"]) == "Did you mean 'mnist'?"
    assert errors.did_you_mean("zzz", ["digits", "mnist"]) == "Known are: digits, mnist."


def test_exit_codes_tell_usage_from_failure():
    assert errors.DataError("x").exit_code == 1
    assert errors.SettingError("x").exit_code == 2


def test_a_missing_extra_says_how_to_install_it():
    assert str(errors.MissingExtraError("Keras", "keras")) == (
        "Keras is not installed. Install it: pip install 'linnaea[keras]'."
    )


def test_scikit_learn_can_catch_bad_values_as_value_errors():
    assert issubclass(errors.DataError, ValueError)
    assert issubclass(errors.SettingError, ValueError)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é – 日本 ×", "plain, é – 日本 ×"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb\x00c\x7fd\x9be", "a\\x0db\\x00c\\x7fd\\x9be"),
        ("photo\u202egnp.exe", "photo\\u202egnp.exe"),
        ("caf\udce9", "caf\\xe9"),  # a byte of a file name that is not UTF-8
        ("two\nlines", "two\nlines"),
        ("family 👩\u200d👩\u200d👧", "family 👩\u200d👩\u200d👧"),
        ("thin\u2009space", "thin\u2009space"),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text, shown):
    assert errors.printable(text) == shown


def test_a_new_line_in_a_name_begins_no_new_line():
    assert errors.printable("a\nError: b", keep="") == "a\\x0aError: b"

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

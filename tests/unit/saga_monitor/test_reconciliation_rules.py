"""The reference to an application's reconciliation rules."""

import pytest

from saga_monitor.reconciliation.rules_reference import load_rules
from sagakit.errors import ConfigurationError
from shop.reconciliation import RULES


def test_a_reference_names_the_rules() -> None:
    assert load_rules("shop.reconciliation:RULES") is RULES


def test_without_a_reference_there_are_no_rules() -> None:
    assert load_rules("") is None


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("no_such:RULES", "cannot be imported"),
        ("shop.reconciliation", "module:ATTRIBUTE"),
        ("shop.reconciliation:NONE", "module:ATTRIBUTE"),
        ("shop.reconciliation:SKU", "is no Rules"),
    ],
)
def test_a_wrong_reference_is_named_with_a_remedy(reference: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match="SAGA_RECONCILIATION") as caught:
        load_rules(reference)
    assert repr(reference) in str(caught.value)
    assert words in str(caught.value)

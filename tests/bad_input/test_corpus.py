"""The corpus itself: many, each with a name of its own, and told in a page that is up to date."""

from collections import Counter

from tests.bad_input.case import Case
from tests.bad_input.corpus import CORPUS
from tests.bad_input.document import PAGE, page


def _is_documented(case: Case) -> bool:
    """What is taken needs no words."""
    return bool(case.words) or case.gets in ("handled", "repeat", "200")


def test_there_are_many_each_with_a_name_and_an_answer() -> None:
    assert len(CORPUS) >= 60
    twice = [name for name, n in Counter(map(str, CORPUS)).items() if n > 1]
    assert not twice
    assert [str(case) for case in CORPUS if not _is_documented(case)] == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.bad_input.document"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import TooFewProviders
from peerage.model import Code
from peerage.place import MIN_OTHERS, code_for, commit_threshold


@pytest.mark.parametrize(
    ("others", "k", "m"),
    [
        (2, 1, 1),
        (3, 1, 1),
        (4, 2, 1),
        (5, 2, 2),
        (6, 3, 2),
        (7, 3, 2),
        (8, 4, 2),
        (10, 6, 3),
        (33, 20, 10),
        (52, 32, 16),
    ],
)
def test_the_table_of_the_specification(others: int, k: int, m: int) -> None:
    assert code_for(others) == Code(k, m)


@given(st.integers(3, 400))
def test_every_code_leaves_a_spare_and_never_shrinks_as_the_network_grows(others: int) -> None:
    code = code_for(others)
    assert code.n < others
    assert code_for(others + 1).k >= code.k
    assert code_for(others + 1).m >= code.m or code.k < code_for(others + 1).k


@pytest.mark.parametrize("others", range(MIN_OTHERS))
def test_too_few_others_says_how_many_are_needed(others: int) -> None:
    with pytest.raises(TooFewProviders, match=rf"^{others} other member.* at least {MIN_OTHERS} are needed"):
        code_for(others)


@given(st.integers(2, 100))
def test_a_committed_stripe_survives_a_loss_wherever_the_code_could(others: int) -> None:
    code = code_for(others)
    threshold = commit_threshold(code)
    assert code.k < threshold <= code.n
    assert 2 * (threshold - code.k) >= code.m


def test_a_wanted_code_is_taken_or_refused_but_never_loosened() -> None:
    assert code_for(6, Code(4, 2)) == Code(4, 2)
    with pytest.raises(TooFewProviders, match=r"code 4\+2, which needs 6 other members, and 5 can"):
        code_for(5, Code(4, 2))
    with pytest.raises(TooFewProviders, match="needs 2 other members, and 1 can"):
        code_for(1, Code(1, 1))

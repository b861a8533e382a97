"""Which neighbourhoods fill gaps in time: each gap has something known before and behind it."""

from hypothesis import given
from hypothesis import strategies as st

from atmorep.inference.restore import windows


@given(st.integers(2, 5), st.integers(8, 60), st.integers(12, 24))
def test_gaps_between_states_of_every_few_steps_are_whole_in_a_neighbourhood(every, known, steps):
    """As where states of every third hour become hourly."""
    size = every * known + 1
    if size < steps:
        return
    wanted = [step for step in range(size) if step % every]
    taken = []
    for start, inside in windows(wanted, size, steps, 1):
        assert 0 <= start <= size - steps
        held = [step for step in range(start, start + steps) if step % every == 0]
        assert held[0] < inside[0]
        assert held[-1] > inside[-1]
        taken += inside
    assert taken == wanted


@given(st.integers(1, 8), st.integers(12, 24), st.integers(0, 40))
def test_a_gap_lies_within_its_neighbourhood(length, steps, first):
    size = first + length + 30
    gap = list(range(first + 1, first + 1 + length))
    ((start, inside),) = windows(gap, size, steps, 1)
    assert inside == gap
    assert start < gap[0]
    assert gap[-1] < start + steps - 1

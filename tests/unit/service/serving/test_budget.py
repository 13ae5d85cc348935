"""The budget of bytes that the server holds for clients."""

from zdc_service.serving.budget import ByteBudget


def test_refused_bytes_are_not_counted() -> None:
    budget = ByteBudget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.held == 6
    assert budget.take(4)
    budget.give_back(6)
    assert budget.take(5)
    assert budget.held == 9


def test_a_single_large_one_has_room_alone() -> None:
    budget = ByteBudget(10)
    assert budget.take(11)
    assert not budget.take(1)
    budget.give_back(11)
    assert budget.held == 0

import pytest

from ledger import Journal, Ledger, Refused


@pytest.fixture
def ledger(tmp_path):
    return Ledger(("a", "b"), Journal(str(tmp_path / "journal")))


def test_money_moves_and_is_written_down(ledger):
    ledger.transfer("a", "b", 300)
    assert (ledger.balance("a"), ledger.balance("b")) == (999_700, 1_000_300)
    assert open(ledger.journal.path).read() == "a b 300\n"


@pytest.mark.parametrize("words", [("a", "a", 1), ("a", "b", 0), ("a", "b", 10**9)])
def test_what_cannot_be_moved(ledger, words):
    with pytest.raises(Refused):
        ledger.transfer(*words)
    assert ledger.balance("a") == 1_000_000


def test_unknown_accounts(ledger):
    with pytest.raises(KeyError):
        ledger.transfer("a", "x", 1)

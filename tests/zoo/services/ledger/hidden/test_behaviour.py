import sys
import threading
import time

import pytest

from ledger import Journal, Ledger, Refused


@pytest.fixture
def ledger(tmp_path):
    return Ledger(("a", "b", "c"), Journal(str(tmp_path / "journal")))


def test_no_cent_is_lost_between_many_threads(ledger):
    written = []
    ledger.journal.write = written.append
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def move(payer, payee):
        for _ in range(300):
            ledger.transfer(payer, payee, 1)

    threads = [
        threading.Thread(target=move, args=pair, daemon=True)
        for pair in [("a", "b"), ("b", "a"), ("b", "c"), ("c", "a"), ("a", "c")]
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 15
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
    assert sum(account.cents for account in ledger.accounts.values()) == 3_000_000
    assert len(written) == 1500


def test_a_refusal_holds_no_lock_and_writes_nothing(ledger):
    for words in [("a", "b", 10**9), ("b", "a", 10**9)]:
        with pytest.raises(Refused):
            ledger.transfer(*words)
    ledger.transfer("b", "a", 5)
    ledger.transfer("a", "b", 5)
    assert open(ledger.journal.path).read() == "b a 5\na b 5\n"


def test_an_account_that_is_busy_for_long_loses_nothing(ledger):
    def move():
        try:
            ledger.transfer("a", "b", 7)
        except Exception:
            return  # refusing is right too, as long as no cent is lost

    ledger.accounts["b"].lock.acquire()
    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    thread.join(1.6)
    ledger.accounts["b"].lock.release()
    thread.join(8)
    assert not thread.is_alive()
    assert sum(account.cents for account in ledger.accounts.values()) == 3_000_000


def test_the_balance_is_checked_under_the_lock(ledger):
    ledger.accounts["a"].cents = 10
    ledger.journal.write = lambda line: time.sleep(0.02)
    ok = []

    def take():
        try:
            ledger.transfer("a", "b", 10)
            ok.append(1)
        except Refused:
            return

    threads = [threading.Thread(target=take, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 8
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))
    assert len(ok) == 1
    assert ledger.accounts["a"].cents == 0

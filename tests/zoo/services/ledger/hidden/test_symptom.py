import threading

from ledger import Journal, Ledger


def test_opposite_transfers_both_end(tmp_path):
    ledger = Ledger(("a", "b"), Journal(str(tmp_path / "journal")))
    meet = threading.Barrier(2, timeout=0.4)

    def write(line):
        try:
            meet.wait()
        except threading.BrokenBarrierError:
            return

    ledger.journal.write = write
    threads = [
        threading.Thread(target=ledger.transfer, args=words, daemon=True)
        for words in (("a", "b", 1), ("b", "a", 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(8)
    assert not any(thread.is_alive() for thread in threads)

import threading

from jobs.board import Board


def test_two_claims_at_once_raise_nothing(tmp_path):
    board = Board(tmp_path)
    for _ in range(40):
        board.add("x")
    errors, start = [], threading.Barrier(8)

    def claim():
        start.wait()
        try:
            for _ in range(4):
                board.claim("w")
        except KeyError as why:
            errors.append(why)

    threads = [threading.Thread(target=claim, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []

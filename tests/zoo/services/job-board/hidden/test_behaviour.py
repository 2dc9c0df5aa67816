import threading

from jobs.board import Board


def test_no_job_has_two_workers_and_none_is_lost(tmp_path):
    board = Board(tmp_path)
    for number in range(32):
        board.add(f"job {number}")
    taken, start = [], threading.Barrier(8)

    def claim(name):
        start.wait()
        while True:
            try:
                job = board.claim(name)
            except KeyError:
                continue
            if job is None:
                if board.waiting() == 0:
                    return
                continue
            taken.append(job)

    threads = [threading.Thread(target=claim, args=(f"w{n}",), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(number for number, _ in taken) == list(range(1, 33))
    assert all(what == f"job {number - 1}" for number, what in taken)


def test_jobs_can_be_added_and_released_afterwards(tmp_path):
    board = Board(tmp_path)
    board.add("one")
    job = board.claim("w")
    done = []

    def more():
        board.release(*job)
        board.add("two")
        done.append(board.waiting())

    thread = threading.Thread(target=more, daemon=True)
    thread.start()
    thread.join(5)
    assert done == [2]
    assert board.claim("w") == (1, "one")

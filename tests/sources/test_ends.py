"""Fork, exec and exit in every order: each crash is told exactly once, whoever ends how."""

from __future__ import annotations

import sys
import time

import pytest

from tests.sources.conftest import Start

pytestmark = pytest.mark.e2e

FAMILY = """
    import logging
    import multiprocessing
    import os
    import signal
    import subprocess
    import sys
    import threading
    import time


    class Crash(Exception):
        pass


    def crash(name):
        try:
            raise type(name, (Crash,), {"__module__": "ends"})
        except Crash:
            logging.exception("failed")


    def child(work, *, wait=True):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(3)
        if wait:
            os.waitpid(pid, 0)


    def again(name, how):
        words = [sys.executable, os.path.abspath(__file__), name]
        getattr(os, how)(sys.executable, words, *([os.environ] if how == "execve" else []))


    def crash_then_exec():
        crash("BeforeExec")
        again("AfterExec", "execv")


    def exec_that_fails():
        crash("BeforeFailedExec")
        try:
            os.execv("/no/such/program", ["no"])
        except OSError:
            crash("AfterFailedExec")


    def crash_on_both_sides():
        crash("BeforeFork")
        child(lambda: crash("InGrandchild"))
        crash("AfterFork")


    def daemonized():
        def orphan():
            os.setsid()
            time.sleep(0.2)
            crash("InOrphan")
        child(orphan, wait=False)


    def in_a_thread():
        thread = threading.Thread(target=child, args=(lambda: crash("ForkedInThread"),))
        thread.start()
        thread.join()


    def two_at_once():
        works = [lambda: crash("AtOnceA"), lambda: crash("AtOnceB")]
        both = [threading.Thread(target=child, args=(work,)) for work in works]
        [thread.start() for thread in both]
        [thread.join() for thread in both]


    def killed():
        crash("BeforeKill")
        time.sleep(0.8)
        os.kill(os.getpid(), signal.SIGKILL)


    def terminated():
        crash("BeforeTerm")
        time.sleep(0.8)
        os.kill(os.getpid(), signal.SIGTERM)


    def leaves_by_exit():
        crash("BeforeSysExit")
        sys.exit(4)  # ends in the caller's os._exit


    def closes_everything():
        os.closerange(3, 256)
        crash("AllClosed")


    def no_more_descriptors():
        import resource
        time.sleep(0.5)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        child(lambda: None)  # where there is no descriptor for a probe
        crash("FewDescriptors")


    def beside(name):
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


    def main():
        while not os.path.exists(beside("go")):
            time.sleep(0.05)
        for work in (
            lambda: crash("InChild"),
            crash_then_exec,
            lambda: again("OnlyExec", "execve"),
            exec_that_fails,
            crash_on_both_sides,
            daemonized,
            in_a_thread,
            two_at_once,
            killed,
            terminated,
            leaves_by_exit,
            closes_everything,
            no_more_descriptors,
        ):
            child(work)
        subprocess.run([sys.executable, __file__, "Subprocess"], check=True)
        for how in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(how)
            process = context.Process(target=crash, args=(how.title(),))
            process.start()
            process.join()
        crash("InParent")
        open(beside("done"), "w").close()
        while True:
            time.sleep(1)


    if __name__ == "__main__":
        if len(sys.argv) > 1:
            crash(sys.argv[1])
        else:
            main()
"""
ALL = """
    InChild BeforeExec AfterExec OnlyExec BeforeFailedExec AfterFailedExec BeforeFork InGrandchild
    AfterFork InOrphan ForkedInThread AtOnceA AtOnceB BeforeKill BeforeTerm BeforeSysExit
    AllClosed FewDescriptors Subprocess Fork Spawn Forkserver InParent
"""


def test_each_crash_is_told_once_whoever_forks_replaces_itself_or_ends(start: Start) -> None:
    service = start({"ends.py": FAMILY}, sys.executable, "{project}/ends.py")
    (service.project / "go").touch()  # of who is killed before anybody listens nothing is left
    service.until((service.project / "done").exists, seconds=60)
    service.until(lambda: len({o.exception for o in service.seen}) >= len(ALL.split()), seconds=60)
    end = time.monotonic() + 1.2
    service.until(lambda: time.monotonic() > end)  # nothing comes twice
    counts = dict.fromkeys(ALL.split(), 0)
    for occurrence in service.seen:
        counts[occurrence.exception.removeprefix("ends.")] += occurrence.count
    assert counts == dict.fromkeys(ALL.split(), 1)
    log = next((service.project.parent / "state").rglob("*.log")).read_text()
    assert "ignored in" not in log, "no hook of ours fails aloud"

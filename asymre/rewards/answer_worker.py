r"""A process that checks answers (`equality`), started and used by `asymre/rewards/verifier.py`.

    python asymre/rewards/answer_worker.py SECONDS

Reads one JSON object per line, {"answer": ..., "gold": ...}, and writes one word per line: "ready" once, then
a verdict for each. A forked child does the checks; the kernel ends it after SECONDS of one check, whatever it
is doing. The next child is a fork too, with the parser and sympy already imported.
"""

import json
import logging
import os
import resource
import signal
import sys

# Bytes of address space, 60 MB of which are in use from the start. No honest answer needs a tenth of it.
MEMORY = 2 << 30

# Parser and sympy are slow on first use of each feature: exercise the usual ones before the first fork.
_USUAL = (
    (r"\frac{\sqrt{3}}{2}", r"\frac{3}{2\sqrt{3}}"),
    (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}"),
    (r"2x^{2}-3", r"-(3-2x\cdot x)"),
    (r"\left(1, \infty\right)", "x>1"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
    ("x(x+1)", "x^2+x"),
    ("y=x+2", "x-y+2=0"),
    ("1+i, 1-i", r"1 \pm i"),
)


def main() -> None:
    seconds = float(sys.argv[1])
    replies = os.dup(1)
    # Parsers print: keep that out of the replies, and discard errors, which nobody reads once it runs.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    # Imported here because the verifier's own process imports this module, too.
    from asymre.rewards.equality import verdict as check

    logging.disable(logging.CRITICAL)
    os.dup2(null, 2)
    for pair in _USUAL:
        check(*pair)
    os.write(replies, b"ready\n")
    while True:
        child = os.fork()
        if child == 0:
            _serve(check, seconds, replies)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        os.write(replies, b"timeout\n" if status == -signal.SIGALRM else b"unparsable\n")


def _serve(check, seconds: float, replies: int) -> None:
    """Answer requests until there are no more, or until one of them ends this process."""
    # Signals that the verifier's process ignores or blocks are inherited: undo that.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard < 0 else min(MEMORY, hard), hard))
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            verdict = check(**json.loads(line))
        except Exception:
            verdict = "unparsable"
        signal.setitimer(signal.ITIMER_REAL, 0)
        # A parser may report running out of memory as another error.
        if verdict == "wrong" and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MEMORY / 2:
            os._exit(1)
        os.write(replies, verdict.encode() + b"\n")


if __name__ == "__main__":
    main()

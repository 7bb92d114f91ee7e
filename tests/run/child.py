"""A child that stands in for gateway, control or sidecar: it tells on stdout what happens to it.

Each line is a JSON object with `child`, `event`, `pid`. `--exits` makes it end at once, `--stays`
makes it deaf to SIGTERM while its parent lives.
"""

import json
import os
import signal
import sys

from tidegate.parent import end_with_parent

WAITED = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}


def say(event: str) -> None:
    line = {"child": sys.argv[1], "event": event, "pid": os.getpid(), "words": sys.argv[2:]}
    line["sidecars"] = json.loads(os.environ["TIDEGATE_SIDECARS"])
    os.write(1, json.dumps(line).encode() + b"\n")


signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
end_with_parent()
parent = os.getppid()
say("up")
if "--exits" in sys.argv:
    sys.exit(int(sys.argv[sys.argv.index("--exits") + 1]))
while True:
    got = signal.sigwait(WAITED)
    say(signal.Signals(got).name)
    stays = "--stays" in sys.argv and os.getppid() == parent
    if got == signal.SIGTERM and not stays:
        break

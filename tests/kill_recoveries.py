"""Kills recoveries with SIGKILL at random moments, runs them again, and checks that all ends well.

    python -m tests.kill_recoveries [--seed 0] [--kills 5] [--sagas 1500] [replay rebuild drill]

It takes about half an hour, so it is no part of the suite. Each kind runs once undisturbed, which
says how long it takes; then it is killed at a random moment of that time, and the same command is
given again. A replay has to equal the live projection, a rebuild the live rows, and a drill has to
have 100 points and to leave nothing of the killed one. Exit status 0: all did.
"""

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from saga_cli.lab.demo_run import options_of
from saga_lab.application import contract_of, enter
from saga_lab.chaos.site import until
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.supervisor import survivors
from saga_lab.invariants.gather import wait_until_idle
from saga_lab.invariants.rebuild import compare_rows, participant_of
from saga_lab.workload import workload_of
from saga_lab.workload.deadlines import Deadlines
from saga_lab.workload.run import WorkloadRun
from sagakit.kafka.group_guard import GroupGuard
from sagakit.store.postgres import engine_for
from tests.application import ORDER
from tests.typed_command import SAGA, environment, run_saga

PARTICIPANT = "payment"
DRILL = ("drill", PARTICIPANT, "--minutes=0.5", "--sagas=40")
IDLE_S = 300.0
WAS_OVER = "was rebuilt into this database"
"""What a rebuild says where it had ended before."""


@dataclass(frozen=True)
class Trial:
    """One recovery that was killed, and how the next run of it ended.

    at_s: the moment, None for the first run, which is not killed; left: processes of the drill's
    stack that it left running; wrong: what is not as it has to be.
    """

    kind: str
    at_s: float | None
    left: int
    again_s: float
    wrong: str

    def row(self) -> str:
        """Return the row of a table."""
        moment = "never" if self.at_s is None else f"{self.at_s:.1f} s"
        return (
            f"| {self.kind} | {moment} | {self.left} | {self.again_s:.1f} s | "
            f"{self.wrong or 'the same'} |"
        )


def killed_after(home: Path, words: tuple[str, ...], seconds: float) -> bool:
    """Start a command and kill it; return False if it had ended before."""
    with subprocess.Popen(
        [*SAGA, *words],
        env=environment(SAGA_HOME=str(home)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        return False


def ended(home: Path, words: tuple[str, ...]) -> tuple[float, str]:
    """Run a command to its end; return how long it took, and what it says if it fails.

    A rebuild that was over when it was killed is refused, which is no failure.
    """
    began = time.monotonic()
    done = run_saga(home, *words)
    took, output = time.monotonic() - began, done.stdout + done.stderr
    return took, output[-600:] if done.returncode and WAS_OVER not in output else ""


class Recoveries:
    """The recoveries of one stack, which is idle."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._home = stack, stack.home

    def replay(self, name: str) -> tuple[tuple[str, ...], Callable[[], str]]:
        """A replay into a shadow, and what says how it differs from the live projection."""

        def differs() -> str:
            _, wrong = ended(self._home, ("diff", "live", name))
            ended(self._home, ("shadows", "--drop", name))
            return wrong

        return ("replay", name, "--workers=2"), differs

    def rebuild(self, name: str) -> tuple[tuple[str, ...], Callable[[], str]]:
        """A rebuild into an empty database, and what says how it differs from the live one."""
        content = self._stack.read()
        live_url = content["databases"][PARTICIPANT]
        url = f"{live_url.rpartition('/')[0]}/{name}"
        with psycopg.connect(live_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())

        def differs() -> str:
            live, fresh = engine_for(live_url), engine_for(url)
            try:
                tables = participant_of(content, PARTICIPANT).store.metadata
                found = compare_rows(PARTICIPANT, tables, live, fresh)
                return "; ".join(found.differences) if found.rows else "there are no rows"
            finally:
                live.dispose()
                fresh.dispose()

        return ("rebuild", PARTICIPANT, "--into", url), differs

    def drill(self, _: str) -> tuple[tuple[str, ...], Callable[[], str]]:
        """A drill on a copy of the stack, and what says what it leaves, or which points it lost."""

        def differs() -> str:
            (*_, last) = sorted((self._home / "reports").glob("drill-*.json"))
            report = json.loads(last.read_text())
            left = survivors(self._home / "drill")
            wrong = [f"{report['score']} points: {report['losses']}"] if report["losses"] else []
            return "; ".join(wrong + ([f"processes {left} are left"] if left else []))

        return DRILL, differs


def trials(
    stack: Stack, recoveries: Recoveries, kind: str, kills: int, chance: random.Random
) -> Iterator[Trial]:
    """Run a kind of recovery once, then kill it so many times and run it again."""
    words, differs = getattr(recoveries, kind)(f"{kind}_0")
    took, wrong = ended(stack.home, words)
    yield Trial(kind, None, 0, took, wrong or differs())
    done = 0
    for number in itertools.count(1):
        if done == kills:
            return
        at_s = chance.uniform(0.0, took)
        words, differs = getattr(recoveries, kind)(f"{kind}_{number}")
        if not killed_after(stack.home, words, at_s):
            took = at_s  # it is faster than the first time
            continue
        done += 1
        left = len(survivors(stack.home / "drill"))
        again_s, wrong = ended(stack.home, words)
        yield Trial(kind, at_s, left, again_s, wrong or differs())


def placed(home: Path, sagas: int, seed: int) -> Stack:
    """Start a stack and let sagas of every kind end."""
    enter(ORDER)
    stack = Stack.up(home, ORDER, options_of(ORDER), say=lambda line: None)
    workload, contract = workload_of(ORDER), contract_of(ORDER)
    planned = workload.sagas(f"k{seed}", seed, sagas)
    WorkloadRun(stack.read(), workload, contract, planned, deadlines=Deadlines(stack)).run()
    if left := wait_until_idle(stack.read(), IDLE_S):
        raise SystemExit(f"the stack does not become idle: {left}")
    return stack


def stop(stack: Stack, participant: str) -> None:
    """Stop a participant and wait until its group is left: a rebuild refuses before."""
    stack.supervisor.stop([participant])
    guard = GroupGuard(stack.read()["bootstrap_servers"], participant, 0)
    until(lambda: not guard.clients(), f"the group of {participant} is left")


def main() -> None:
    """Run the command. Raises SystemExit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["replay", "rebuild", "drill"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--sagas", type=int, default=1500)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop the stack then, too
    chance, bad = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory(prefix="kill-recoveries-") as folder:
        stack = placed(Path(folder), asked.sagas, asked.seed)
        try:
            print(
                "| recovery | killed after | processes left | run after it | result |", flush=True
            )
            print("|---|---|---|---|---|", flush=True)
            for kind in asked.kinds:
                if kind == "rebuild":
                    stop(stack, PARTICIPANT)
                if kind == "drill":
                    stack.down()
                for trial in trials(stack, Recoveries(stack), kind, asked.kills, chance):
                    bad += bool(trial.wrong)
                    print(trial.row(), flush=True)
        finally:
            stack.down()
            Stack(stack.home / "drill", ORDER).down()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

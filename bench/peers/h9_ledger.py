#!/usr/bin/env python3
"""H9: durable appends: a record counts only when it is on the disk (fdatasync returned).  h9_ledger.py [REPS]
skep's ledger (SKEP_LEDGER: the ledger-appends example of skep-net) beside what people use instead: SQLite (WAL, synchronous=FULL)
and a plain file with fdatasync. Each with one record a commit and with groups of 100 and 1000. Records are 300 bytes.
The files lie in STATE_DIR, which must be on a real disk: on tmpfs fdatasync costs nothing."""
import sqlite3, sys, tempfile
from common import *
RECORD = bytes(range(256)) + b"x" * 44
COUNT = {1: 300, 100: 20_000, 1000: 100_000}


def plain(d, group):
    fd = os.open(d / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND); n = COUNT[group]
    for _ in range(n // group):
        os.write(fd, RECORD * group); os.fdatasync(fd)
    os.close(fd)
    return n


def sqlite(d, group):
    c = sqlite3.connect(d / "log.db", isolation_level=None); n = COUNT[group]
    c.execute("PRAGMA journal_mode=WAL"); c.execute("PRAGMA synchronous=FULL"); c.execute("CREATE TABLE log(id INTEGER PRIMARY KEY, record BLOB)")
    for _ in range(n // group):
        c.execute("BEGIN"); c.executemany("INSERT INTO log(record) VALUES (?)", ((RECORD,) for _ in range(group))); c.execute("COMMIT")
    c.close()
    return n


def skep(d, group):
    n = COUNT[group]
    subprocess.run([os.environ["SKEP_LEDGER"], str(d / "o"), str(n), str(group)], check=True, stdout=subprocess.DEVNULL)
    return n


if __name__ == "__main__":
    for rep in range(int(sys.argv[1]) if len(sys.argv) > 1 else REPS):
        for group in COUNT:
            for f in (plain, sqlite, skep):
                with tempfile.TemporaryDirectory(dir=STATE) as d:
                    r0 = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]; t0 = time.perf_counter()
                    n = f(pathlib.Path(d), group); wall = time.perf_counter() - t0
                    r1 = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
                    cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(r0, r1))
                    emit(h="H9", tool=f.__name__, n=group, rep=rep, wall=round(wall, 3), cpu=round(cpu, 3), per_s=round(n / wall))

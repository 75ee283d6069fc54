#!/usr/bin/env python3
"""Interoperation with clients that we did not write, on loopback addresses.

  run.py [--long] [CASE...]   CASE: CLIENT-from-skep, skep-from-CLIENT, either with -v2 or -hybrid, bad-block-v2, bad-block-hybrid, tracker-http, tracker-udp, tracker-http-ipv6, tracker-udp-ipv6, observe (-v2, -hybrid), dissect, torrents; none: all of them, those of the clients
                              rtorrent, deluge, rqbit and webtorrent with --long only
Needs what bench/peers/install.sh installs (with --long: install.sh long), and target/release/skep (or SKEP=PATH). Every case starts its own skep tracker, HTTP
and UDP, and its own peers on addresses of their own; files and logs stay in WORK (default: a new temporary folder) when it fails.
Prints one line a case and, last, 'N passed, N failed'. A case that fails is tried once more, since the clients have races of their
own; what failed stays in the output, and the last line counts it.

The cases with Transmission 3.00 take 13 to 20 s, the others 1 to 5, and nothing of that is ours to save. Transmission decides whom
it unchokes and in whom it is interested only every 10 s (peer-mgr.c, RECHOKE_PERIOD_MSEC, from the start of the torrent on): it says
"interested" up to 10 s after our have_all, and "unchoke" up to 10 s after our interest. It answers requests every 500 ms only
(BANDWIDTH_PERIOD_MSEC), and sends its own once a second, so that our reqq of 500 lets it fetch 8 MB/s at the most. aria2 announces
3 s after its start."""
import filecmp, json, os, pathlib, re, shutil, signal, socket, subprocess, sys, tempfile, time, traceback, urllib.request

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(os.environ.get("WORK") or tempfile.mkdtemp(prefix="skep-interop-"))
os.environ["STATE_DIR"] = str(WORK / "state"); os.environ["BENCH_DIR"] = str(WORK / "data")
sys.path.insert(0, str(HERE.parent / "bench" / "peers"))
import clients                                                     # noqa: E402
from common import Daemon, PY, wait_for, info_hash                 # noqa: E402

SKEP = os.environ.get("SKEP") or str(HERE.parent / "target" / "release" / "skep")
CLIENTS = ["libtorrent", "aria2", "transmission", "qbittorrent"]
LONG = ["rtorrent", "deluge", "rqbit", "webtorrent"]
# Who takes part in what is not version 1 alone. Transmission 3.00 calls every hybrid "invalid or corrupt", also libtorrent's of one
# file; aria2 1.36 hashes its own encoding of a hybrid's info dictionary, so it announces and says another info-hash.
KINDS = [("libtorrent", "v2"), ("libtorrent", "hybrid"), ("qbittorrent", "v2"), ("qbittorrent", "hybrid")]
OCTET = 20 + os.getpid() % 200
SIZE = 24 * 1024 * 1024 + 12345      # a last piece and a last block that are shorter than the others


def ip(n):
    return f"127.{OCTET}.{case_number}.{n}"


case_number = 0


def port():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); p = s.getsockname()[1]; s.close(); return p


def kill(client):
    """Ends a client whose farewell is in no question here: aria2's takes 2 s, qBittorrent's more than 5."""
    if client.d: client.d.stop(signal.SIGKILL)


class Skep(Daemon):
    """A skep command in the background; its output is in .path."""

    def __init__(self, name, *args):
        self.path = WORK / f"{case_number}-{name}.log"
        super().__init__([SKEP, *map(str, args)], log=self.path)

    def text(self):
        return self.path.read_text(errors="replace")

    def interrupt(self, wait=20):
        self.stop(signal.SIGINT, wait)
        return self.p.returncode


def tracker():
    """A skep tracker on HTTP and UDP; returns it and the two announce addresses."""
    http, udp = port(), port()
    t = Skep("tracker", "tracker", "--http", f"{ip(1)}:{http}", "--udp", f"{ip(1)}:{udp}", "--interval", "5s")
    need(wait_for(lambda: accepts(ip(1), http), 10), "the tracker does not listen", t)
    return t, f"http://{ip(1)}:{http}/announce", f"udp://{ip(1)}:{udp}/announce"


def accepts(host, p):
    try:
        socket.create_connection((host, p), 1).close(); return True
    except OSError:
        return False


def need(ok, what, *logs):
    if not ok:
        tails = "".join(f"\n--- {l.path.name}\n" + l.text()[-2000:] for l in logs)
        raise AssertionError(what + tails)
    return ok


def content(name, size=SIZE):
    """A folder with one large file, one small and one empty; the bytes repeat nowhere."""
    d = WORK / f"{case_number}" / name
    (d / "sub").mkdir(parents=True)
    import random
    r = random.Random(case_number)
    (d / "large.bin").write_bytes(r.randbytes(size)); (d / "sub" / "small.txt").write_bytes(r.randbytes(54321)); (d / "empty").write_bytes(b"")
    return d


def same(a, b):
    """Whether every file below a is below b with the same bytes. Empty ones do not count: Transmission makes none."""
    for f in sorted(a.rglob("*")):
        if f.is_file() and f.stat().st_size:
            g = b / f.relative_to(a)
            if not g.exists() or not filecmp.cmp(f, g, shallow=False): return False
    return True


def torrent_of(path, *trackers, kind="v1", by_libtorrent=False):
    """A torrent by skep; those that libtorrent is asked for, with one tracker, have its own idea of version 2 and of padding."""
    t = WORK / f"{case_number}" / "t.torrent"
    if by_libtorrent:
        subprocess.run([PY, "-W", "ignore", str(HERE.parent / "bench" / "peers" / "mktorrent.py"), str(path), str(t), "--piece", "64", "--" + kind, "--announce", trackers[-1]], check=True)
        return t
    version = [] if kind == "v1" else ["--torrent-version", kind.removeprefix("v")]
    subprocess.run([SKEP, "create", str(path), "--out", str(t), *version, *sum((["--tracker", x] for x in trackers), [])], check=True, stderr=subprocess.PIPE)
    return t


def client_from_skep(name, kind="v1"):
    """A foreign client downloads from a skep seeder that it finds through a skep tracker."""
    t, http, udp = tracker(); src = content("src"); torrent = torrent_of(src, http, udp, kind=kind)
    out = WORK / f"{case_number}" / "out"; out.mkdir()
    sp, cp = port(), port()
    c = clients.REG[name]("leech", torrent, out, ip(3), cp, f"-{case_number}")
    seed = None
    try:
        # The client first: one that does not dial loopback peers is there when the seeder dials it.
        c.start(); c.go()
        seed = Skep("seed", "seed", torrent, src, "--listen", f"{ip(2)}:{sp}", "--peer", f"{ip(3)}:{cp}")
        need(wait_for(lambda: accepts(ip(2), sp), 20), "the seeder does not listen", seed)
        told = 0
        end = time.time() + 90
        while not c.complete():
            need(time.time() < end, f"{name} did not finish in 90 s", seed, t)
            if time.time() > end - 80 + 10 * told and told < 4: c.connect(ip(2), sp); told += 1
            time.sleep(0.2)
        need(wait_for(lambda: same(src, out / "src"), 10), f"{name} has other bytes", seed)
    finally:
        kill(c); code = seed.interrupt() if seed else None; t.interrupt()
    need(code == 0, f"seed ended with {code} on Ctrl-C", seed)


def skep_from_client(name, kind="v1"):
    """A skep downloader fetches from a foreign seeder that it finds through a skep tracker."""
    t, http, udp = tracker(); src = content("src"); torrent = torrent_of(src, udp, http, kind=kind, by_libtorrent=kind != "v1")
    out = WORK / f"{case_number}" / "out"; out.mkdir()
    c = clients.REG[name]("seed", torrent, src.parent, ip(3), port(), f"-{case_number}")
    g = None
    try:
        c.start(); c.go()
        need(wait_for(c.complete, 60, 0.2), f"{name} does not seed")
        # Listed first: a tracker that names nobody is not asked again before its interval of 5 s has passed.
        need(wait_for(lambda: seeds_listed(http, torrent) >= 1, 30, 0.1), f"{name} did not announce in 30 s", t)
        g = Skep("get", "get", torrent, "--out", out, "--listen", f"{ip(2)}:{port()}")
        need(wait_for(lambda: not g.alive(), 60, 0.2), "skep get did not finish in 60 s", g, t)
        need(g.p.returncode == 0, f"skep get ended with {g.p.returncode}", g)
        need(same(src, out / "src"), "skep has other bytes", g)
    finally:
        if g: g.stop()
        kill(c); t.interrupt()


def bad_block(kind):
    """One peer spoils one block. libtorrent, which seeds, says the hashes of the piece's blocks: that block alone comes again, and its
    sender alone is banned."""
    from spoiler import Spoiler
    t, http, udp = tracker(); src = content("src"); torrent = torrent_of(src, udp, http, kind=kind, by_libtorrent=True)
    out = WORK / f"{case_number}" / "out"; out.mkdir()
    c = clients.REG["libtorrent"]("seed", torrent, src.parent, ip(3), port(), f"-{case_number}")
    liar = Spoiler([src / "large.bin", src / "sub" / "small.txt"], 64 * 1024, ip(4))
    g = None
    try:
        c.start(); c.go()
        need(wait_for(c.complete, 60, 0.2), "libtorrent does not seed")
        # Slowly, so that there is something left to spoil when libtorrent has said what it has.
        g = Skep("get", "get", torrent, "--out", out, "--listen", f"{ip(2)}:{port()}", "--no-trackers", "--verbose",
                 "--download-limit", "3MB", "--peer", liar.addr, "--peer", f"{c.ip}:{c.port}")
        need(wait_for(lambda: f"{c.ip}:{c.port}: handshake received" in g.text(), 20, 0.05), "no handshake from libtorrent", g)
        time.sleep(1); liar.armed.set()
        need(wait_for(lambda: not g.alive(), 60, 0.2), "skep get did not finish in 60 s", g, t)
        need(g.p.returncode == 0, f"skep get ended with {g.p.returncode}", g)
        need(same(src, out / "src"), "skep has other bytes", g)
    finally:
        if g: g.stop()
        kill(c); t.interrupt()
    need(liar.spoilt, f"no block was spoilt, of {liar.sent} bytes sent", g)
    lines = g.text().splitlines()
    failed = [l for l in lines if "does not have its hash" in l]
    need(len(failed) == 1 and f"piece {liar.spoilt[0]} does not have its hash; 1 of its blocks is wrong" in failed[0], f"said of bad pieces: {failed}", g)
    banned = [l for l in lines if "is banned" in l]
    need(len(banned) == 1 and f"{liar.addr} is banned" in banned[0], f"said of bans: {banned}", g)
    return f"{failed[0].strip()}; {liar.sent >> 20} MiB came from its sender"


def tracker_for(transport):
    """Foreign clients, which know of nothing but a skep tracker, find each other over one of its transports: Transmission (which
    does not dial loopback peers, so it seeds) and libtorrent, aria2 and qBittorrent, which fetch from it and from each other."""
    t, http, udp = tracker(); url = {"http": http, "udp": udp}[transport]
    src = content("src", 4 * 1024 * 1024); torrent = torrent_of(src, url)
    seed = clients.REG["transmission"]("seed", torrent, src.parent, ip(3), port(), f"-{case_number}")
    leeches = {}
    for n, name in enumerate(["libtorrent", "aria2", "qbittorrent"]):
        out = WORK / f"{case_number}" / name; out.mkdir()
        leeches[name] = clients.REG[name]("leech", torrent, out, ip(4 + n), port(), f"-{case_number}")
    # aria2 asks UDP trackers from its DHT socket only.
    leeches["aria2"].extra = ("--enable-dht=true", f"--dht-listen-port={port()}", f"--dht-file-path={WORK}/{case_number}/dht.dat", "--seed-time=2")
    try:
        seed.start(); seed.go()
        need(wait_for(seed.complete, 60, 0.2), "transmission does not seed")
        # The others ask again after 5 minutes at the earliest, whatever interval the tracker names: the seed must be listed before they ask.
        seeds = lambda: seeds_listed(http, torrent)
        need(wait_for(lambda: seeds() >= 1, 30, 0.2), "transmission did not announce in 30 s", t)
        for c in leeches.values(): c.start(); c.go()
        for name, c in leeches.items():
            need(wait_for(lambda: c.complete() or same(src, WORK / f"{case_number}" / name / "src"), 60, 0.2), f"{name} did not finish in 60 s", t)
            need(wait_for(lambda: same(src, WORK / f"{case_number}" / name / "src"), 10), f"{name} has other bytes", t)
        need(wait_for(lambda: seeds() >= 3, 20, 0.5), f"the tracker counts {seeds()} seeds", t)
        counts = scrape(http, bytes.fromhex(info_hash(torrent)))
    finally:
        for c in [seed, *leeches.values()]: c.stop()
        code = t.interrupt()
    need(code == 0, f"tracker ended with {code} on Ctrl-C", t)
    last = t.text().strip().splitlines()[-1]
    need((", 0 connects" in last) == (transport == "http"), f"the other transport was used: {last}", t)
    return f"{counts[0]} seeds, {counts[1]} downloads, {counts[2]} others; {last}"


def tracker_ipv6(transport):
    """Two libtorrents on [::1] find each other through a skep tracker that listens there, over one of its transports."""
    p = port()
    t = Skep("tracker", "tracker", f"--{transport}", f"[::1]:{p}", "--interval", "5s")
    need(wait_for(lambda: "://[::1]:" in t.text(), 10), "the tracker does not listen", t)
    src = content("src", 1024 * 1024); out = WORK / f"{case_number}" / "out"; out.mkdir()
    torrent = torrent_of(src, {"http": f"http://[::1]:{p}/announce", "udp": f"udp://[::1]:{p}/announce"}[transport])
    make = lambda role, d: clients.REG["libtorrent"](role, torrent, d, "[::1]", port(), f"-{case_number}")
    seed, leech = make("seed", src.parent), make("leech", out)
    try:
        seed.start(); need(wait_for(seed.complete, 30), "libtorrent does not seed")
        leech.start(); leech.go()
        need(wait_for(lambda: leech.complete() and same(src, out / "src"), 60, 0.2), "libtorrent did not finish in 60 s", t)
    finally:
        seed.stop(); leech.stop(); t.interrupt()
    return t.text().strip().splitlines()[-1]


def scrape(url, raw):
    """(complete, downloaded, incomplete) as the tracker says."""
    quoted = "".join(f"%{b:02x}" for b in raw)
    body = urllib.request.urlopen(url.replace("/announce", "/scrape") + "?info_hash=" + quoted, timeout=5).read()
    return tuple(int(re.search(rb"%d:%si(\d+)e" % (len(k), k), body)[1]) for k in (b"complete", b"downloaded", b"incomplete"))


def observe(kind="v1"):
    """The observer watches a swarm of foreign clients only; libtorrent's own alerts are the answer key, both ways. Of a hybrid it watches
    both swarms, and what is of version 2 is verified by its trees."""
    t, http, udp = tracker(); src = content("src", 6 * 1024 * 1024); torrent = torrent_of(src, http, udp, kind=kind)
    others = CLIENTS[1:] if kind == "v1" else [name for name, k in KINDS if k == kind and name != "libtorrent"]
    base = WORK / f"{case_number}"; watched = base / "watched"
    keyed = f"{ip(9)}:{port()}"; alerts = base / "alerts.jsonl"
    key = Daemon([PY, str(HERE / "answer_key.py"), "--save", str(src.parent), "--listen", keyed, "--torrent", str(torrent)],
                 log=alerts, stdin=subprocess.PIPE, stderr=open(base / "alerts.err", "wb"))
    seeds = {}
    for n, name in enumerate(others):
        copy = base / name; shutil.copytree(src, copy / "src")
        seeds[name] = clients.REG[name]("seed", torrent, copy, ip(10 + n), port(), f"-{case_number}")
    o = None
    try:
        for s in seeds.values(): s.start(); s.go()
        need(wait_for(lambda: '"ready"' in alerts.read_text(), 30), "libtorrent does not seed")
        for name, s in seeds.items(): need(wait_for(s.complete, 60, 0.2), f"{name} does not seed")
        o = Skep("observe", "observe", torrent, "--out", watched, "--for", "25s", "--bind", ip(2), "--listen", f"{ip(2)}:{port()}",
                 "--pieces", "40", "--visit", "4s", "--revisit", "2s")
        need(wait_for(lambda: not o.alive(), 60, 0.2), "observe did not end in its time", o)
        need(o.p.returncode == 0, f"observe ended with {o.p.returncode}", o)
        key.p.stdin.write(b"quit\n"); key.p.stdin.flush(); key.p.wait(10)
    finally:
        if o: o.stop()
        for s in seeds.values(): s.stop()
        key.stop(); t.interrupt()
    bundle = base / "bundle.tar"
    for args in (["report", watched], ["bundle", watched, "--out", bundle], ["verify", bundle]):
        r = subprocess.run([SKEP, *map(str, args)], capture_output=True, text=True)
        need(r.returncode == 0, f"skep {args[0]} ended with {r.returncode}: {r.stdout[-1500:]}{r.stderr[-1500:]}")
    records = [json.loads(l) for l in subprocess.run([SKEP, "records", str(watched)], capture_output=True, text=True, check=True).stdout.splitlines()]
    ends = {r["conn"]: (r["local"], r["endpoint"]) for r in records if r["kind"] == "reached"}
    ours = set()
    for r in records:
        if r["kind"] == "delivered" and ends[r["conn"]][1] == keyed:
            ours.add((ends[r["conn"]][0], r["block"]["piece"], r["block"]["begin"] // 16384))
    theirs = set()
    for l in alerts.read_text().splitlines():
        a = json.loads(l)
        if a["ev"] == "block" and a["to"].startswith(ip(2) + ":"): theirs.add((a["to"], a["piece"], a["block"]))
    need(ours, "the ledger says that libtorrent delivered nothing", o)
    need(ours <= theirs, f"delivered in our ledger and not in libtorrent's alerts: {sorted(ours - theirs)[:5]}", o)
    need(theirs <= ours, f"uploaded by libtorrent's alerts and not in our ledger: {sorted(theirs - ours)[:5]}", o)
    verified = {ends[r["conn"]][1] for r in records if r["kind"] == "verified"}
    for name, s in seeds.items():
        need(f"{s.ip}:{s.port}" in verified, f"{name} seeds and is not verified: {sorted(verified)}", o)
    need(keyed in verified, "libtorrent seeds and is not verified", o)
    swarms = {"v1": [("sha1",)], "v2": [("root",)], "hybrid": [("sha1", "root"), ("root",)]}[kind]
    swarm_of = {r["conn"]: r["target"] for r in records if r["kind"] == "joined"}
    for n, digests in enumerate(swarms):
        found = [r for r in records if r["kind"] == "verified" and swarm_of[r["conn"]] == n and ends[r["conn"]][1] == keyed]
        need(found, f"libtorrent is not verified in swarm {n}", o)
        need(all({"sha1", "root"} & r.keys() == set(digests) for r in found), f"verified in swarm {n} not by {' and '.join(digests)}: {found[0]}", o)
    return f"{len(ours)} blocks agree both ways, {len(verified)} endpoints verified" + (" in both swarms" if len(swarms) == 2 else "")


def dissect():
    """tshark opens the capture of the observe case, and its BitTorrent dissector names the messages."""
    found = sorted(WORK.glob("*/watched/runs/*/capture.pcapng"))
    need(found, "no capture: run the observe case in the same run")
    if not shutil.which("tshark"): return "SKIPPED: tshark is not installed"
    out = subprocess.run(["tshark", "-r", str(found[0]), "-d", "tcp.port==1-65535,bittorrent", "-T", "fields", "-e", "bittorrent.msg.type", "-e", "bittorrent.protocol.name"], capture_output=True, text=True)
    kinds = set(re.findall(r"\d+", out.stdout))
    need({"7", "6"} <= kinds and kinds & {"5", "14"} and "BitTorrent protocol" in out.stdout, f"tshark names only {sorted(kinds)}: {out.stderr[-500:]}")
    bad = subprocess.run(["tshark", "-r", str(found[0]), "-Y", "_ws.malformed"], capture_output=True, text=True).stdout
    need(not bad, f"tshark calls packets malformed:\n{bad[:500]}")
    return f"message types {', '.join(sorted(kinds, key=int))}"


def seeds_listed(url, torrent):
    """How many seeds the tracker lists. The raw info-hash is in the scrape of both transports; HTTP is the one that is easy to ask."""
    return scrape(url, bytes.fromhex(info_hash(torrent)))[0]


def torrent_files():
    """What the one writes the other reads as it was meant (interop/torrents.py)."""
    import torrents
    said = torrents.both_ways(WORK / f"{case_number}")
    folder = os.environ.get("SKEP_TEST_TORRENTS")
    return f"{said}; {torrents.as_explained(folder)}" if folder else said


CASES = {**{f"{c}-from-skep": (lambda c=c: client_from_skep(c)) for c in CLIENTS},
         **{f"skep-from-{c}": (lambda c=c: skep_from_client(c)) for c in CLIENTS}, "tracker-http": lambda: tracker_for("http"),
         "tracker-udp": lambda: tracker_for("udp"),
         "tracker-http-ipv6": lambda: tracker_ipv6("http"), "tracker-udp-ipv6": lambda: tracker_ipv6("udp"),
         "bad-block-v2": lambda: bad_block("v2"), "bad-block-hybrid": lambda: bad_block("hybrid"),
         "observe": observe, "dissect": dissect, "observe-v2": lambda: observe("v2"), "observe-hybrid": lambda: observe("hybrid"),
         "torrents": torrent_files,
         **{f"{c}-from-skep-{k}": (lambda c=c, k=k: client_from_skep(c, k)) for c, k in KINDS},
         **{f"skep-from-{c}-{k}": (lambda c=c, k=k: skep_from_client(c, k)) for c, k in KINDS}}
LONG_CASES = {**{f"{c}-from-skep": (lambda c=c: client_from_skep(c)) for c in LONG}, **{f"skep-from-{c}": (lambda c=c: skep_from_client(c)) for c in LONG}}


def attempt(name):
    """Whether the case passed; prints its line."""
    global case_number
    case_number += 1; start = time.time()
    try:
        said = (CASES | LONG_CASES)[name]() or ""
        print(f"{name:<26} ok      {time.time() - start:5.1f} s  {said}", flush=True)
        return True
    except Exception as e:
        print(f"{name:<26} FAILED  {time.time() - start:5.1f} s  {e}", flush=True)
        if not isinstance(e, AssertionError): traceback.print_exc()
        return False


def main():
    wanted = [a for a in sys.argv[1:] if a != "--long"] or [*CASES, *(LONG_CASES if "--long" in sys.argv else [])]
    passed, again, failed = 0, [], []
    for name in wanted:
        if name not in CASES | LONG_CASES: sys.exit(f"no case is called {name}: {' '.join(CASES | LONG_CASES)}")
        if attempt(name): passed += 1
        elif attempt(name): passed += 1; again.append(name)
        else: failed.append(name)
    print(f"\n{passed} passed, {len(failed)} failed" + (f"; at the second try only: {', '.join(again)}" if again else ""))
    if failed or again: print(f"logs and files: {WORK}")
    if failed: sys.exit(1)
    if not again: shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()

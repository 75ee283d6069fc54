#!/usr/bin/env python3
"""Torrent files before two judges: skep and libtorrent's wheel.

  torrents.py FOLDER      judges every .torrent below FOLDER by both; prints a line each and, last, how many agree
With SKEP_TEST_TORRENTS=FOLDER (libtorrent's test/test_torrents) the case `torrents` of run.py finds the differences that
docs/torrent-verdicts.md explains, no other and none less. run.py's case `torrents` uses both_ways(): what the one makes the other must read as it was meant, and the same files must be the same
torrent. Needs the wheel (bench/peers/install.sh) and target/release/skep (or SKEP=PATH)."""
import itertools, json, os, pathlib, random, subprocess, sys
import libtorrent as lt

SKEP = os.environ.get("SKEP") or str(pathlib.Path(__file__).resolve().parent.parent / "target" / "release" / "skep")
LINK, PAD, HIDDEN, EXECUTABLE = (lt.file_storage.flag_symlink, lt.file_storage.flag_pad_file, lt.file_storage.flag_hidden, lt.file_storage.flag_executable)


class Refused(Exception):
    pass


def by_libtorrent(path):
    """What libtorrent reads in a torrent file; padding is left out, as version 2 has none."""
    try:
        ti = lt.load_torrent_file(str(path)).ti
    except RuntimeError as error:
        raise Refused(str(error)) from None
    if ti is None: raise Refused("no info dictionary (a magnet link in a torrent file)")
    hashes, fs, files = ti.info_hashes(), ti.layout(), []
    for n in range(fs.num_files()):
        flags = fs.file_flags(n)
        if flags & PAD: continue
        # Names that are not text come as bytes with lone surrogates.
        path_text = fs.file_path(n).encode(errors="surrogateescape").decode(errors="backslashreplace")
        root = str(fs.root(n)); link = fs.symlink(n) if flags & LINK else None
        # A link that leads nowhere is written as one to itself.
        if link == path_text: link = "astray"
        files.append(dict(path=path_text, length=fs.file_size(n), offset=fs.file_offset(n) if fs.file_size(n) else None, link=link,
                          executable=bool(flags & EXECUTABLE), hidden=bool(flags & HIDDEN), root=root if root.strip("0") else None))
    return dict(info_hash_v1=str(hashes.v1) if hashes.has_v1() else None, info_hash_v2=str(hashes.v2) if hashes.has_v2() else None,
                piece_length=ti.piece_length(), private=ti.priv(), files=files, piece_count=ti.num_pieces())


def by_skep(path):
    """The same by skep."""
    done = subprocess.run([SKEP, "inspect", "--json", str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        if done.returncode != 2: raise AssertionError(f"{path}: exit code {done.returncode}: {done.stderr}")
        raise Refused(done.stderr.strip().removeprefix(f"error: {path}: ").split("\n")[0].removeprefix("error: "))
    said = json.loads(done.stdout); files = []
    for f in said["files"]:
        if f["padding"]: continue
        link = f["link"]
        if isinstance(link, dict): link = "/".join([said["name"], *link["to"]])
        files.append(dict(path="/".join([said["name"], *f["path"]]), length=f["length"], offset=f["offset"] if f["length"] else None, link=link,
                          executable=f["executable"], hidden=f["hidden"], root=f["root"]))
    return dict(files=files, **{key: said[key] for key in ("info_hash_v1", "info_hash_v2", "piece_length", "private", "piece_count")})


def differences(a, b):
    """The fields in which two descriptions differ, in words."""
    out = [f"{key}: {a[key]} and {b[key]}" for key in a if key != "files" and a[key] != b[key]]
    for n, (f, g) in enumerate(itertools.zip_longest(a["files"], b["files"])):
        if f != g: out.append(f"file {n}: {f} and {g}")
    return out


def agree(path, what):
    judged = [judge(path) for judge in (by_skep, by_libtorrent)]
    wrong = differences(*judged)
    if wrong: raise AssertionError(f"{what}: skep and libtorrent read another thing: " + "; ".join(wrong[:5]))
    return judged[0]


def contents(work):
    """Name and path of everything that is made into torrents: one file or a folder."""
    r = random.Random(52)
    BLOCK, PIECE = 16_384, 65_536
    lens = dict(byte=1, almost_block=BLOCK - 1, block=BLOCK, over_block=BLOCK + 1, three_blocks=3 * BLOCK, piece=PIECE, over_piece=PIECE + 1, odd=5 * PIECE + 12_345, nine=9 * PIECE)
    for name, length in lens.items():
        path = work / f"{name}.bin"; path.write_bytes(r.randbytes(length)); yield name, path
    def folder(name, files):
        for rel, length in files.items():
            path = work / name / rel; path.parent.mkdir(parents=True, exist_ok=True); path.write_bytes(r.randbytes(length))
        return name, work / name
    yield folder("all", {f"{n}.bin": length for n, length in lens.items()})
    yield folder("deep", {"/".join("abcdefghijklmnopqrst") + "/file": 40_000, "a/b/x": 1, "a/y": 70_000, "z": 5})
    yield folder("empties", {"a": 0, "b": 100_000, "c": 0, "d/e": 0, "d/f": 3, "g": 0})
    yield folder("one", {"file": 100_000})
    yield folder("names", {"ä ö": 5, "日本/語": 70_000, ".hidden": 9, "a b": 1, "%25": 2, "Ab": 3, "aB": 4, "x" * 200: 6})
    yield folder("many", {f"{n % 7}/{n}": r.randrange(0, 40_000) for n in range(200)})
    # A folder `a` and a file `a-b`: by whole paths the file comes first, by names the folder.
    yield folder("siblings", {"a/z": 20_000, "a-b": 5})
    same = r.randbytes(200_000)
    for name in "abc": (work / "same").mkdir(exist_ok=True); (work / "same" / name).write_bytes(same)
    yield "same", work / "same"
    name, path = folder("links", {"dir/sub/file": 70_000, "run": 5})
    (path / "run").chmod(0o755)
    for link, target in {"to-file": "dir/sub/file", "to-dir": "dir", "dir/up": "../run", "dir/through": "../to-dir/sub/file"}.items(): (path / link).symlink_to(target)
    yield name, path


def made_by_libtorrent(path, out, piece_size, flags, extra=False):
    files = lt.list_files(str(path), lambda p: True, flags)
    ct = lt.create_torrent(files, piece_size, flags)
    lt.set_piece_hashes(ct, str(path.parent)); ct.set_creation_date(0)
    if extra:
        ct.set_comment("ein Kommentar: ü"); ct.set_creator("judge"); ct.add_tracker("http://a.example/announce", 0); ct.add_tracker("udp://b.example:1/", 1)
        ct.add_url_seed("http://w.example/"); ct.set_priv(True); ct.set_creation_date(1_700_000_000)
    out.write_bytes(lt.bencode(ct.generate()))      # the binding of generate_buf() takes bytes for text
    return lt.bdecode(out.read_bytes())


def both_ways(work):
    """Everything both ways; returns what was done, in words."""
    work.mkdir(parents=True, exist_ok=True)
    flags = lt.create_torrent
    versions = dict(v1=("1", flags.v1_only), v2=("2", flags.v2_only), hybrid=("hybrid", 0))
    ours = theirs = same = 0
    (work / "content").mkdir()
    for name, path in contents(work / "content"):
        for (version, (ours_flag, theirs_flag)), piece in itertools.product(versions.items(), (16_384, 65_536, 1 << 20)):
            what = f"{name}, {version}, pieces of {piece}"
            a, b = work / "skep.torrent", work / "libtorrent.torrent"
            command = [SKEP, "--quiet", "create", str(path), "--torrent-version", ours_flag, "--piece-size", str(piece), "--out", str(a), "--force", "--links", "keep", "--executable-bits"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode: raise AssertionError(f"{what}: {done.stderr}")
            read = agree(a, f"{what}, made by skep"); ours += 1
            printed = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith(("info-hash", "hash (v2)"))]
            if printed != [h for h in (read["info_hash_v1"], read["info_hash_v2"]) if h]: raise AssertionError(f"{what}: skep printed {printed}")
            mine, its = lt.bdecode(a.read_bytes()), made_by_libtorrent(path, b, piece, theirs_flag | flags.symlinks)
            if (name, version) == ("siblings", "hybrid"):
                # libtorrent lists version 1 by whole paths and the tree by names: it makes a hybrid that it refuses. Ours it accepts.
                if (verdict(by_libtorrent, b)[0], verdict(by_skep, b)[0]) != ("refused", "refused"): raise AssertionError(f"{what}: libtorrent's is accepted by now")
                continue
            agree(b, f"{what}, made by libtorrent"); theirs += 1
            if mine.get(b"piece layers", {}) != its.get(b"piece layers", {}): raise AssertionError(f"{what}: piece layers differ")
            # Of version 1 libtorrent lists the files as the folder does. It calls links executable, and gives them no length; and in version 2 it names
            # a file by the folder that it is alone in, though no reader can know.
            if version != "v1" and name not in ("links", "one") and mine[b"info"] != its[b"info"]: raise AssertionError(f"{what}: the info dictionaries differ")
            same += mine[b"info"] == its[b"info"]
        more = [flags.v1_only | flags.canonical_files, flags.v1_only | flags.canonical_files_no_tail_padding, flags.canonical_files_no_tail_padding, flags.modification_time,
                flags.no_attributes, flags.v2_only | flags.modification_time | flags.symlinks, flags.v1_only | flags.symlinks | flags.modification_time]
        for flag in more:
            if name == "siblings" and not flag & (flags.v1_only | flags.v2_only): continue
            made_by_libtorrent(path, b, 65_536, flag, extra=True)
            agree(b, f"{name}, made by libtorrent with flags {flag:#x}"); theirs += 1
    return f"{ours} of skep's, {theirs} of libtorrent's, {same} the same info dictionary"


def verdict(judge, path):
    try:
        return "accepted", judge(path)
    except Refused as error:
        return "refused", str(error)


def judge_folder(folder):
    """A line for each torrent file below a folder; returns how many disagree."""
    agreed = other = 0
    for path in sorted(pathlib.Path(folder).rglob("*.torrent")):
        (ours, a), (theirs, b) = verdict(by_skep, path), verdict(by_libtorrent, path)
        name = path.relative_to(folder)
        if ours == theirs == "refused": print(f"same    {name}: refused ({a} | {b})"); agreed += 1
        elif ours != theirs: print(f"OTHER   {name}: skep {ours} {a if ours == 'refused' else ''} | libtorrent {theirs} {b if theirs == 'refused' else ''}"); other += 1
        elif wrong := differences(a, b): print(f"DIFFERS {name}: " + "; ".join(wrong)); other += 1
        else: print(f"same    {name}: accepted"); agreed += 1
    print(f"{agreed} agree, {other} do not")
    return other


def as_explained(folder):
    """Whether the differences on libtorrent's own torrents are those of the document; says how many agree."""
    page = (pathlib.Path(__file__).resolve().parent.parent / "docs" / "torrent-verdicts.md").read_text()
    explained = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    paths = sorted(pathlib.Path(folder).glob("*.torrent"))
    found = {}
    for path in paths:
        (ours, a), (theirs, b) = verdict(by_skep, path), verdict(by_libtorrent, path)
        if ours != theirs: found[path.name] = f"skep {ours} {a}, libtorrent {theirs} {b}"
        elif ours == "accepted" and (wrong := differences(a, b)): found[path.name] = "; ".join(wrong[:3])
    if new := {name: what for name, what in found.items() if name not in explained}: raise AssertionError(f"not in docs/torrent-verdicts.md: {new}")
    if gone := explained - set(found): raise AssertionError(f"no difference any more, or no such file: {sorted(gone)}")
    return f"{len(paths) - len(found)} of {len(paths)} judged alike"


if __name__ == "__main__":
    if len(sys.argv) != 2: sys.exit(__doc__)
    judge_folder(sys.argv[1])

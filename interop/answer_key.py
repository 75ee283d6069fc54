#!/usr/bin/env python3
"""A libtorrent seeder that writes down every block it uploads: the answer key for the observer.
  answer_key.py --save DIR --listen IP:PORT --torrent FILE
Prints JSON lines: {"ev": "ready"} once it seeds, then {"ev": "block", "to": "IP:PORT", "piece": N, "block": N} for every
block_uploaded alert. Ends on "quit" or end of input, after it has printed the alerts that are left."""
import argparse, json, select, sys, time
import libtorrent as lt

a = argparse.ArgumentParser()
a.add_argument("--save", required=True); a.add_argument("--listen", required=True); a.add_argument("--torrent", required=True)
o = a.parse_args()
kinds = lt.alert.category_t
ses = lt.session({
    "listen_interfaces": o.listen, "outgoing_interfaces": o.listen.rsplit(":", 1)[0], "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2, "allow_multiple_connections_per_ip": True, "ssrf_mitigation": False,
    "unchoke_slots_limit": -1, "announce_to_all_trackers": True, "announce_to_all_tiers": True, "alert_queue_size": 100000,
    "alert_mask": kinds.upload_notification | kinds.status_notification | kinds.error_notification})


def say(**k):
    print(json.dumps(k), flush=True)


p = lt.add_torrent_params()
p.ti = lt.torrent_info(o.torrent); p.save_path = o.save
p.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
h = ses.add_torrent(p)
ready = False; leave_at = None
while leave_at is None or time.time() < leave_at:
    r, _, _ = select.select([sys.stdin], [], [], 0.02)
    if r and leave_at is None:
        line = sys.stdin.readline()
        if not line or line.strip() == "quit":
            leave_at = time.time() + 1.0
        elif line.startswith("connect "):
            ip, port = line.split()[1].rsplit(":", 1)
            h.connect_peer((ip, int(port)))
    for al in ses.pop_alerts():
        if isinstance(al, lt.block_uploaded_alert):
            say(ev="block", to="%s:%d" % al.endpoint, piece=int(al.piece_index), block=int(al.block_index))
    if not ready and h.status().state == lt.torrent_status.seeding:
        ready = True; say(ev="ready")

"""A seeder that sends some right blocks and waits until it is told to spoil one: then the next block that it was asked for has a wrong
byte, and further ones are right. For one connection at a time, of a torrent with the files' pieces apart (version 2, hybrids). Standard library only."""
import socket, struct, threading

RIGHT_BYTES = 4 * 16 * 1024
UNCHOKE, INTERESTED, REQUEST, PIECE, CANCEL, HAVE_ALL = 1, 2, 6, 7, 8, 14


class Spoiler(threading.Thread):
    """`files` are paths in the torrent's order, without empty ones; `.spoilt` is (piece, begin) of the block with the wrong byte."""

    def __init__(self, files, piece_len, ip):
        super().__init__(daemon=True)
        self.piece_len = piece_len
        data = [f.read_bytes() for f in files]
        self.pieces = [d[at:at + piece_len] for d in data for at in range(0, len(d), piece_len)]
        self.armed, self.spoilt, self.sent = threading.Event(), None, 0
        self.listener = socket.socket(); self.listener.bind((ip, 0)); self.listener.listen()
        self.addr = "%s:%d" % self.listener.getsockname()
        self.start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            try:
                self.serve(s)
            except (OSError, EOFError):
                s.close()

    def serve(self, s):
        theirs = read(s, 68)
        # The name that it was dialed by, and the fast extension.
        s.sendall(b"\x13BitTorrent protocol" + bytes([0, 0, 0, 0, 0, 0, 0, 4]) + theirs[28:48] + b"-XX0001-spoilerspoil")
        s.sendall(struct.pack(">IBIB", 1, HAVE_ALL, 1, UNCHOKE))
        while True:
            body = read(s, struct.unpack(">I", read(s, 4))[0])
            if body[:1] != bytes([REQUEST]): continue
            piece, begin, n = struct.unpack(">III", body[1:])
            # Not everything that it is asked for at first: then nothing would be left to spoil.
            if self.sent >= RIGHT_BYTES: self.armed.wait(30)
            block = bytearray(self.pieces[piece][begin:begin + n].ljust(n, b"\0"))
            if self.armed.is_set() and self.spoilt is None:
                self.spoilt = (piece, begin); block[n // 2] ^= 1
            s.sendall(struct.pack(">IBII", 9 + n, PIECE, piece, begin) + block)
            self.sent += n


def read(s, n):
    out = b""
    while len(out) < n:
        part = s.recv(n - len(out))
        if not part: raise EOFError
        out += part
    return out

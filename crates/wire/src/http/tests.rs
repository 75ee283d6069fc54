use proptest::prelude::*;

use super::*;

/// Feeds `bytes` in parts of `part` bytes and then the end of the stream.
fn feed(bytes: &[u8], part: usize) -> Result<Option<Response>, HttpError> {
    let mut parser = ResponseParser::new();
    for chunk in bytes.chunks(part) {
        if let Some(response) = parser.push(chunk)? {
            return Ok(Some(response));
        }
    }
    parser.end()
}

fn body_of(bytes: &[u8]) -> Vec<u8> {
    let whole = feed(bytes, usize::MAX).unwrap().expect("a response");
    for part in [1, 2, 3, 7] {
        assert_eq!(
            feed(bytes, part).unwrap().as_ref(),
            Some(&whole),
            "in parts of {part}"
        );
    }
    whole.body
}

fn error_of(bytes: &[u8]) -> HttpError {
    feed(bytes, usize::MAX).expect_err("an error")
}

#[test]
fn body_is_read_by_length_by_chunks_or_to_the_end() {
    assert_eq!(
        body_of(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"),
        b"abc"
    );
    assert_eq!(body_of(b"HTTP/1.0 200 OK\r\n\r\nabcdef"), b"abcdef");
    assert_eq!(body_of(b"HTTP/1.1 200\nContent-Length: 2\n\nok"), b"ok");
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    assert_eq!(body_of(chunked), b"abc0123456789");
    assert_eq!(body_of(b"HTTP/1.1 204 No Content\r\n\r\n"), b"");
    assert_eq!(
        body_of(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
        b"x"
    );
}

#[test]
fn response_that_ends_early_is_no_response() {
    let whole: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for len in 0..whole.len() {
        let expected = Err(HttpError::Truncated { got: len as u64 });
        assert_eq!(feed(&whole[..len], usize::MAX), expected);
    }
}

/// Each is refused with the error that names what is wrong.
#[test]
fn malformed_responses_are_refused() {
    let not_http = |line: &str| HttpError::NotHttp {
        line: line.to_owned(),
    };
    assert_eq!(
        error_of(b"SSH-2.0-OpenSSH\r\n\r\n"),
        not_http("SSH-2.0-OpenSSH")
    );
    assert_eq!(error_of(b"HTTP/2 200\r\n\r\n"), not_http("HTTP/2 200"));
    assert_eq!(
        error_of(b"HTTP/1.1 99 x\r\n\r\n"),
        not_http("HTTP/1.1 99 x")
    );
    assert_eq!(error_of(b"\r\n\r\n"), not_http(""));
    let with =
        |header: &str| error_of(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n1\r\n").as_bytes());
    let value = |value: &str| value.to_owned();
    assert_eq!(
        with("Content-Length: -1"),
        HttpError::BadContentLength { value: value("-1") }
    );
    assert_eq!(
        with("Content-Length: 1\r\nContent-Length: 2"),
        HttpError::BadContentLength { value: value("2") }
    );
    assert_eq!(
        with("Content-Length: 99999999999999999999"),
        HttpError::BadContentLength {
            value: value("99999999999999999999")
        }
    );
    assert_eq!(
        with("Content-Length: 9999999999"),
        HttpError::BodyTooLong {
            len: 9_999_999_999,
            limit: BODY_LEN_MAX
        }
    );
    assert_eq!(
        with("Transfer-Encoding: gzip"),
        HttpError::UnknownTransferCoding {
            value: value("gzip")
        }
    );
    assert_eq!(
        with("Content-Encoding: br"),
        HttpError::UnknownContentCoding { value: value("br") }
    );
    assert_eq!(
        with("no colon"),
        HttpError::BadHeader {
            line: value("no colon")
        }
    );
    assert_eq!(
        with(" folded: x"),
        HttpError::BadHeader {
            line: value(" folded: x")
        }
    );
    let chunks = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        error_of(format!("{head}{body}").as_bytes())
    };
    assert_eq!(chunks("x\r\n"), HttpError::BadChunk);
    assert_eq!(chunks("-1\r\n"), HttpError::BadChunk);
    assert_eq!(chunks("1\r\nab\r\n"), HttpError::BadChunk);
    assert_eq!(chunks("ffffffffffffffffff\r\n"), HttpError::BadChunk);
    let too_long = HttpError::BodyTooLong {
        len: 0x1000_0000,
        limit: BODY_LEN_MAX,
    };
    assert_eq!(chunks("10000000\r\n"), too_long);
    assert_eq!(chunks(&"1;".repeat(1_000)), HttpError::BadChunk);
}

#[test]
fn heads_and_bodies_without_end_stop_at_their_limits() {
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; HEAD_LEN_MAX]].concat();
    assert_eq!(
        error_of(&endless),
        HttpError::HeadTooLong {
            limit: HEAD_LEN_MAX
        }
    );
    let headers = "A: b\r\n".repeat(HEADERS_MAX + 1);
    assert_eq!(
        error_of(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes()),
        HttpError::TooManyHeaders { limit: HEADERS_MAX }
    );
    let mut parser = ResponseParser::new();
    parser.push(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mut fed = 0;
    let error = loop {
        match parser.push(&[b'x'; 10_000]) {
            Ok(_) => fed += 10_000,
            Err(error) => break error,
        }
    };
    assert!(fed <= BODY_LEN_MAX && matches!(error, HttpError::BodyTooLong { .. }));
    let mut parser = ResponseParser::new();
    parser
        .push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        .unwrap();
    let trailer = (0..).find_map(|_| parser.push(b"A: b\r\n").err()).unwrap();
    assert_eq!(trailer, HttpError::TooManyHeaders { limit: HEADERS_MAX });
}

/// What GNU gzip (`gzip -9`) makes of `skep skep`.
const GNU_GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0xce, 0x4e, 0x2d, 0x50, 0x28,
    0x06, 0x12, 0x00, 0xb9, 0xd3, 0x4c, 0xc4, 0x09, 0x00, 0x00, 0x00,
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    out.extend(miniz_oxide::deflate::compress_to_vec(bytes, 9));
    out.extend(gzip::crc32(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

#[test]
fn gzip_bodies_are_inflated_and_checked() {
    // The check value of CRC-32 in the catalogues.
    assert_eq!(gzip::crc32(b"123456789"), 0xcbf4_3926);
    let packed = gzip(b"d8:intervali1800ee");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    assert_eq!(
        body_of(&[head.as_bytes(), &packed].concat()),
        b"d8:intervali1800ee"
    );
    for at in [packed.len() - 8, packed.len() - 1] {
        let mut damaged = packed.clone();
        damaged[at] ^= 1;
        let error = gunzip(&damaged, 100).unwrap_err();
        let crc = matches!(error, GzipError::WrongCrc { .. });
        assert_eq!(crc, at == packed.len() - 8, "{error}");
    }
    assert_eq!(gunzip(b"PK\x03\x04", 10), Err(GzipError::NoHeader));
    for len in 10..packed.len() {
        gunzip(&packed[..len], 100).expect_err("truncated");
    }
    // With name, comment, extra field and header checksum.
    let mut full = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x02\0xxname\0comment\0cc".to_vec();
    full.extend(&packed[10..]);
    assert_eq!(gunzip(&full, 100).unwrap(), b"d8:intervali1800ee");
    assert_eq!(gunzip(GNU_GZIP, 100).unwrap(), b"skep skep");
}

/// 64 MiB of zeroes in 64 KiB: the inflated length never exceeds the limit.
#[test]
fn gzip_bomb_stops_at_the_limit() {
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < BODY_LEN_MAX, "{}", bomb.len());
    let limit = INFLATED_LEN_MAX;
    assert_eq!(gunzip(&bomb, limit), Err(GzipError::TooLong { limit }));
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let error = error_of(&[head.as_slice(), &bomb].concat());
    assert_eq!(error, HttpError::Gzip(GzipError::TooLong { limit }));
}

fn request(bytes: &[u8]) -> Request<'_> {
    parse_request(bytes).unwrap().expect("a whole request")
}

#[test]
fn requests_are_read_off_the_front_of_what_came() {
    let first = b"GET /announce?a=b?c HTTP/1.1\r\nHost: x\r\n\r\n";
    let two = [
        first.as_slice(),
        b"\r\nGET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    ]
    .concat();
    let read = request(&two);
    assert_eq!(
        (read.method, read.keep_alive, read.len),
        (&b"GET"[..], true, first.len())
    );
    assert_eq!(read.path_and_query(), (&b"/announce"[..], &b"a=b?c"[..]));
    let second = request(&two[read.len..]);
    assert_eq!((second.target, second.keep_alive), (&b"/x"[..], true));
    assert_eq!(read.len + second.len, two.len());
    assert!(!request(b"GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(!request(b"GET / HTTP/1.1\r\nConnection: foo, Close\r\n\r\n").keep_alive);
    for len in 0..first.len() {
        assert_eq!(parse_request(&first[..len]), Ok(None));
    }
}

#[test]
fn malformed_requests_are_refused() {
    let refused = |bytes: &[u8]| parse_request(bytes).expect_err("an error");
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET x HTTP/1.1",
        "GET / HTTP/2.0",
        "G@T / HTTP/1.1",
    ] {
        let error = refused(format!("{line}\r\n\r\n").as_bytes());
        assert_eq!(
            error,
            HttpError::NotHttp {
                line: line.to_owned()
            }
        );
    }
    let with = |header: &str| refused(format!("GET / HTTP/1.1\r\n{header}\r\n\r\n").as_bytes());
    assert_eq!(with("Content-Length: 4"), HttpError::RequestWithBody);
    assert_eq!(
        with("Transfer-Encoding: chunked"),
        HttpError::RequestWithBody
    );
    assert_eq!(
        with("x"),
        HttpError::BadHeader {
            line: "x".to_owned()
        }
    );
    assert!(matches!(
        refused(b"GET /a\rb HTTP/1.1\r\n\r\n"),
        HttpError::NotHttp { .. }
    ));
    for value in ["X: a\rContent-Length: 5", "X: \0"] {
        assert!(matches!(with(value), HttpError::BadHeader { .. }));
    }
    assert_eq!(
        refused(&[b'x'; HEAD_LEN_MAX]),
        HttpError::HeadTooLong {
            limit: HEAD_LEN_MAX
        }
    );
}

#[test]
fn written_requests_and_responses_are_read_again() {
    let url = Url::parse("http://[::1]:8080/announce").unwrap();
    let mut out = Vec::new();
    put_request(&mut out, &url, "/announce?x=1", "skep/1");
    let read = request(&out);
    assert_eq!(
        (read.target, read.keep_alive),
        (&b"/announce?x=1"[..], false)
    );
    assert!(
        out.windows(20)
            .any(|window| window == b"\r\nHost: [::1]:8080\r\n")
    );
    let mut out = Vec::new();
    let head = response::ResponseHead {
        status: 200,
        keep_alive: false,
    };
    put_response(&mut out, head, "text/plain", b"hello");
    assert_eq!(body_of(&out), b"hello");
}

#[test]
fn urls_are_taken_apart() {
    let url = |text: &str| Url::parse(text).unwrap();
    let plain = url("http://Tracker.Example/announce");
    assert_eq!(plain.host, Host::Name("tracker.example".to_owned()));
    assert_eq!((plain.port, plain.target.as_str()), (80, "/announce"));
    assert_eq!(plain.host_header(), "tracker.example");
    let v6 = url("udp://[2001:db8::1]:6969/announce?key=1#x");
    assert_eq!(v6.host, Host::Addr("2001:db8::1".parse().unwrap()));
    assert_eq!((v6.port, v6.target.as_str()), (6969, "/announce?key=1"));
    assert_eq!(v6.to_string(), "udp://[2001:db8::1]:6969/announce?key=1");
    assert_eq!(url("udp://127.0.0.1:1").target, "");
    assert_eq!(
        url(" HTTP://u:p@127.0.0.1:99?x ").to_string(),
        "http://127.0.0.1:99/?x"
    );
    assert_eq!(url("http://a:/").port, 80);
}

#[test]
fn urls_that_name_no_tracker_are_refused() {
    let refused = |text: &str| Url::parse(text).expect_err("an error");
    let host = |host: &str| UrlError::BadHost {
        host: host.to_owned(),
    };
    let port = |port: &str| UrlError::BadPort {
        port: port.to_owned(),
    };
    assert_eq!(refused("https://x/announce"), UrlError::HttpsNotSupported);
    let wss = UrlError::UnknownScheme {
        scheme: "wss".to_owned(),
    };
    assert_eq!(refused("wss://x/"), wss);
    assert_eq!(refused("tracker"), UrlError::NoScheme);
    assert_eq!(refused("http:///x"), host(""));
    assert_eq!(refused("http://a b/"), host("a b"));
    assert_eq!(refused("http://[::1/"), host("[::1"));
    assert_eq!(refused("http://[::g]/"), host("[::g]"));
    assert_eq!(refused("udp://x/"), port(""));
    assert_eq!(refused("http://x:0/"), port("0"));
    assert_eq!(refused("http://x:65536/"), port("65536"));
    assert_eq!(refused("http://x:+1/"), port("+1"));
    assert_eq!(refused("http://x/a b"), UrlError::BadTarget { byte: b' ' });
    assert_eq!(
        refused("http://x/\r\nX: y"),
        UrlError::BadTarget { byte: b'\r' }
    );
    let long = format!("http://x/{}", "y".repeat(url::URL_LEN_MAX));
    let len = long.len();
    assert_eq!(
        refused(&long),
        UrlError::TooLong {
            len,
            limit: url::URL_LEN_MAX
        }
    );
}

#[test]
fn redirects_are_resolved_against_where_they_came_from() {
    let base = Url::parse("http://a:8000/x/announce?k=1").unwrap();
    let join = |location: &str| base.join(location).unwrap().to_string();
    assert_eq!(join("http://b/y"), "http://b/y");
    assert_eq!(join("//c:1/z"), "http://c:1/z");
    assert_eq!(join("/y?u=http://q/"), "http://a:8000/y?u=http://q/");
    assert_eq!(join("other"), "http://a:8000/x/other");
    assert_eq!(join("?k=2"), "http://a:8000/x/announce?k=2");
    assert_eq!(base.join("https://b/"), Err(UrlError::HttpsNotSupported));
}

/// The examples of the unofficial specification that BEP 48 condenses.
#[test]
fn scrape_urls_follow_from_announce_urls() {
    let scrape = |text: &str| Url::parse(text).unwrap().scrape().map(|url| url.target);
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(scrape("http://example.com/announce"), is("/scrape"));
    assert_eq!(scrape("http://example.com/x/announce"), is("/x/scrape"));
    assert_eq!(scrape("http://example.com/announce.php"), is("/scrape.php"));
    assert_eq!(scrape("http://example.com/a"), None);
    assert_eq!(
        scrape("http://example.com/announce?x2%0644"),
        is("/scrape?x2%0644")
    );
    assert_eq!(
        scrape("http://example.com/announce?x=2/4"),
        is("/scrape?x=2/4")
    );
    assert_eq!(scrape("http://example.com/x%064announce"), None);
}

proptest! {
    /// However the bytes are cut, the same comes of them, and nothing is kept beyond the limits.
    #[test]
    fn cuts_do_not_change_what_is_read(
        bytes in response_like(),
        cuts in prop::collection::vec(1usize..40, 1..20),
    ) {
        let whole = feed(&bytes, usize::MAX);
        let mut parser = ResponseParser::new();
        let (mut rest, mut sizes) = (bytes.as_slice(), cuts.iter().cycle());
        let cut = loop {
            if rest.is_empty() {
                break parser.end();
            }
            let size = sizes.next().copied().unwrap_or(1).min(rest.len());
            let (now, later) = rest.split_at(size);
            rest = later;
            match parser.push(now) {
                Ok(None) => {}
                done => break done,
            }
        };
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
            (Err(_), Err(_)) => {}
            (whole, cut) => prop_assert!(false, "{:?} / {:?}", whole, cut),
        }
    }

    #[test]
    fn any_text_parses_as_a_url_or_says_why_not(text in "\\PC{0,80}") {
        if let Ok(url) = Url::parse(&text) {
            prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn any_url_survives_being_printed(
        udp: bool, host in "[a-z0-9.-]{1,20}", port in 1u16.., target in "[!-\"$-~]{0,30}",
    ) {
        let scheme = if udp { "udp" } else { "http" };
        if let Ok(url) = Url::parse(&format!("{scheme}://{host}:{port}/{target}")) {
            prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
        }
    }
}

/// Bytes that go deep into the parser.
fn response_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.1 100 x\r\n\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Content-Encoding: gzip\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"5\r\nabcde\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        bytes.extend(parts.concat());
        bytes
    })
}

/// The end of a head is found wherever the parts of it are cut, and each byte is looked at once.
#[test]
fn end_of_a_head_is_found_across_parts() {
    for head in ["A: b\r\n\r\n", "A: b\n\n", "A: b\r\n\n", "A: b\n\r\n"] {
        for cut in 0..head.len() {
            let mut scanned = 0;
            let (first, _) = head.as_bytes().split_at(cut);
            assert!(!head_may_end(first, &mut scanned), "{head:?} {cut}");
            assert_eq!(scanned, cut);
            assert!(
                head_may_end(head.as_bytes(), &mut scanned),
                "{head:?} {cut}"
            );
        }
    }
    let mut scanned = 0;
    let long = vec![b'a'; HEAD_LEN_MAX];
    assert!(!head_may_end(&long[1..], &mut scanned));
    assert!(head_may_end(&long, &mut scanned), "too long is an end, too");
}

use proptest::prelude::*;

use super::*;

/// FIPS 180 examples and their doubles: message, SHA-1, SHA-256. A million times "a" is the long one.
fn vectors() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".to_vec();
    vec![
        (
            Vec::new(),
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc".to_vec(),
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            two_blocks,
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
              hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
                .to_vec(),
            "a49b2446a02c645bf419f995b67091253a04a259",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
        ),
        (
            vec![b'a'; 1_000_000],
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ]
}

/// Every vector alone, and all of them at every place among others.
#[test]
fn every_engine_agrees_with_the_official_vectors() {
    let vectors = vectors();
    for engine in Engine::all() {
        for shift in 0..20 {
            let messages: Vec<&[u8]> = (0..shift)
                .map(|_| &[][..])
                .chain(vectors.iter().map(|(message, _, _)| &message[..]))
                .collect();
            let (sha1, sha256) = (engine.sha1_each(&messages), engine.sha256_each(&messages));
            for (n, (_, one, two)) in vectors.iter().enumerate() {
                assert_eq!(sha1[shift + n].to_string(), *one, "{}", engine.name());
                assert_eq!(sha256[shift + n].to_string(), *two, "{}", engine.name());
            }
        }
    }
}

/// Bytes that differ at every place, so that a swapped word or lane shows.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            (x >> 24) as u8
        })
        .collect()
}

#[test]
fn every_length_around_the_blocks_borders_is_padded_as_the_reference_does() {
    let bytes = noise(300, 7);
    let messages: Vec<&[u8]> = (0..=260)
        .map(|len| &bytes[len % 33..len % 33 + len])
        .collect();
    for engine in Engine::all() {
        let (sha1, sha256) = (engine.sha1_each(&messages), engine.sha256_each(&messages));
        for (n, message) in messages.iter().enumerate() {
            assert_eq!(sha1[n], crate::sha1(message), "{} of {n}", engine.name());
            assert_eq!(
                sha256[n],
                crate::sha256(message),
                "{} of {n}",
                engine.name()
            );
        }
    }
}

/// As many streams of one length as make an engine take each of its codes, and each number of lanes
/// that stay idle in it; the messages lie at odd places.
#[test]
fn any_number_of_streams_is_hashed_alike() {
    let bytes = noise(40 * 1000, 11);
    for engine in Engine::all() {
        for count in 0..=35 {
            let messages: Vec<&[u8]> = (0..count).map(|n| &bytes[n * 1001..][..999]).collect();
            let sha1: Vec<_> = messages.iter().map(|bytes| crate::sha1(bytes)).collect();
            let sha256: Vec<_> = messages.iter().map(|bytes| crate::sha256(bytes)).collect();
            assert_eq!(engine.sha1_each(&messages), sha1, "{}", engine.name());
            assert_eq!(engine.sha256_each(&messages), sha256, "{}", engine.name());
        }
    }
}

/// A machine of the build's kind has what its name says: a test on it that left out the fast code
/// would prove nothing about it.
#[test]
fn every_code_that_the_machine_has_is_among_the_engines() {
    let names: Vec<_> = Engine::all().into_iter().map(Engine::name).collect();
    assert_eq!(names[0], "one by one");
    assert_eq!(*names.last().expect("one at least"), Engine::best().name());
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx512 = std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl");
        let has_sha = std::arch::is_x86_feature_detected!("sha");
        let has_avx2 = std::arch::is_x86_feature_detected!("avx2");
        assert_eq!(names.contains(&"AVX-512"), has_avx512, "{names:?}");
        assert_eq!(names.contains(&"AVX2"), has_avx2, "{names:?}");
        assert_eq!(names.contains(&"SHA-NI"), has_sha, "{names:?}");
    }
}

#[test]
fn equal_blocks_and_a_shorter_last_one_are_each_hashed() {
    let bytes = noise(40 * 1024 + 5, 3);
    for engine in Engine::all() {
        for block_len in [1, 63, 64, 1000, 1024, 16 * 1024, 1 << 20] {
            for len in [0, 1, 64, 1024, bytes.len()] {
                let expected: Vec<_> = bytes[..len].chunks(block_len).map(crate::sha256).collect();
                let got = engine.sha256_blocks(&bytes[..len], block_len);
                assert_eq!(got, expected, "{} {block_len} {len}", engine.name());
            }
        }
    }
}

#[test]
fn a_layer_of_any_width_goes_up() {
    for engine in Engine::all() {
        for width in 0..=70 {
            let pairs: Vec<[Sha256Digest; 2]> = (0..width)
                .map(|n| [crate::sha256(&[n]), crate::sha256(&[n, 1])])
                .collect();
            let expected: Vec<_> = pairs
                .iter()
                .map(|[left, right]| crate::sha256(&[left.0, right.0].concat()))
                .collect();
            assert_eq!(engine.sha256_pairs(&pairs), expected, "{}", engine.name());
        }
    }
}

proptest! {
    /// Messages of any lengths at any alignment, as many as there are lanes and one more.
    #[test]
    fn every_engine_agrees_with_the_kept_crates(
        lens in prop::collection::vec((0usize..3000, 0usize..70), 0..=40),
        seed: u32,
    ) {
        let bytes = noise(3100, seed);
        let messages: Vec<&[u8]> = lens.iter().map(|&(len, at)| &bytes[at..at + len]).collect();
        let sha1: Vec<_> = messages.iter().map(|message| crate::sha1(message)).collect();
        let sha256: Vec<_> = messages.iter().map(|message| crate::sha256(message)).collect();
        for engine in Engine::all() {
            prop_assert_eq!(&engine.sha1_each(&messages), &sha1, "{}", engine.name());
            prop_assert_eq!(&engine.sha256_each(&messages), &sha256, "{}", engine.name());
        }
    }

    /// Streams that are fed parts of any lengths, some of them in some calls only.
    #[test]
    fn streams_in_step_give_what_single_streams_give(
        calls in prop::collection::vec(prop::collection::vec(0usize..700, 0..=20), 0..8),
        seed: u32,
    ) {
        let bytes = noise(1000, seed);
        for engine in Engine::all() {
            let mut one: Vec<_> = (0..20).map(|_| Sha1Stream::new()).collect();
            let mut two: Vec<_> = (0..20).map(|_| Sha256Stream::new()).collect();
            let mut singly: Vec<_> = (0..20).map(|_| (crate::Sha1::new(), crate::Sha256::new())).collect();
            for lens in &calls {
                let parts: Vec<&[u8]> = lens.iter().enumerate().map(|(n, len)| &bytes[n..n + len]).collect();
                engine.update_each(&mut one.iter_mut().zip(parts.iter().copied()).collect::<Vec<_>>());
                engine.update_each(&mut two.iter_mut().zip(parts.iter().copied()).collect::<Vec<_>>());
                for (part, (one, two)) in parts.iter().zip(&mut singly) {
                    one.update(part);
                    two.update(part);
                }
            }
            let alone: Vec<_> = one.iter().map(|stream| stream.clone().finish()).collect();
            let expected: Vec<_> = singly.iter().map(|(one, _)| one.clone().finish()).collect();
            prop_assert_eq!(&alone, &expected);
            prop_assert_eq!(&engine.finish_each(one), &expected, "{}", engine.name());
            let expected: Vec<_> = singly.into_iter().map(|(_, two)| two.finish()).collect();
            prop_assert_eq!(&engine.finish_each(two), &expected, "{}", engine.name());
        }
    }
}

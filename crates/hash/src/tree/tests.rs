use proptest::prelude::*;

use super::*;

/// The eight leaves of the tests of certificate-transparency's own C++ and Go implementations.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots over the first 1 to 8 of them, from the same place.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::from_hex(text).unwrap()
}

fn known_leaves() -> Vec<Sha256Digest> {
    LEAVES.iter().map(|leaf| leaf_hash(&hex(leaf))).collect()
}

/// `n` different leaves.
fn leaves(n: u64) -> Vec<Sha256Digest> {
    (0..n).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// RFC 6962, section 2.1, word for word.
fn mth(leaves: &[Sha256Digest]) -> Sha256Digest {
    match leaves {
        [] => crate::sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let k = 1 << (leaves.len() - 1).ilog2();
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

/// RFC 6962, section 2.1.1, word for word.
fn rfc_path(m: usize, d: &[Sha256Digest]) -> Vec<Sha256Digest> {
    if d.len() == 1 {
        return Vec::new();
    }
    let k = 1 << (d.len() - 1).ilog2();
    let (mut path, other) = if m < k {
        (rfc_path(m, &d[..k]), mth(&d[k..]))
    } else {
        (rfc_path(m - k, &d[k..]), mth(&d[..k]))
    };
    path.push(other);
    path
}

/// RFC 6962, section 2.1.2, word for word.
fn rfc_proof(m: usize, d: &[Sha256Digest], whole: bool) -> Vec<Sha256Digest> {
    if m == d.len() {
        return if whole { Vec::new() } else { vec![mth(d)] };
    }
    let k = 1 << (d.len() - 1).ilog2();
    let (mut proof, other) = if m <= k {
        (rfc_proof(m, &d[..k], whole), mth(&d[k..]))
    } else {
        (rfc_proof(m - k, &d[k..], false), mth(&d[..k]))
    };
    proof.push(other);
    proof
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let leaves = known_leaves();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(root(&[]), digest(empty));
    assert_eq!(Tree::new().root(), digest(empty));
    for size in 1..=8 {
        assert_eq!(
            root(&leaves[..size]),
            digest(ROOTS[size - 1]),
            "size {size}"
        );
    }
}

/// Paths and proofs that certificate-transparency's tests print in full.
#[test]
fn proofs_are_those_of_certificate_transparency() {
    let tree: Tree = known_leaves().into_iter().collect();
    let digests = |texts: &[&str]| texts.iter().map(|text| digest(text)).collect::<Vec<_>>();
    let path_0_of_8 = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    assert_eq!(prove_inclusion(&tree, 0, 8), Some(digests(&path_0_of_8)));
    let path_5_of_8 = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(prove_inclusion(&tree, 5, 8), Some(digests(&path_5_of_8)));
    let proof_6_to_8 = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(prove_consistency(&tree, 6, 8), Some(digests(&proof_6_to_8)));
    let proof_2_to_5 = [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ];
    assert_eq!(prove_consistency(&tree, 2, 5), Some(digests(&proof_2_to_5)));
}

#[test]
fn every_root_path_and_proof_up_to_40_leaves_is_that_of_the_rfc_and_verifies() {
    let leaves = leaves(40);
    let tree: Tree = leaves.iter().copied().collect();
    for size in 0..=40usize {
        let root = mth(&leaves[..size]);
        assert_eq!(super::root(&leaves[..size]), root);
        assert_eq!(root_at(&tree, size as u64), Some(root));
        for index in 0..size {
            let proof = prove_inclusion(&tree, index as u64, size as u64).unwrap();
            assert_eq!(proof, rfc_path(index, &leaves[..size]), "{index} of {size}");
            let (i, n) = (index as u64, size as u64);
            assert_eq!(
                verify_inclusion(&leaves[index], i, n, &proof, &root),
                Ok(())
            );
        }
        let new = Head {
            size: size as u64,
            root,
        };
        for old_size in 0..=size {
            let proof = prove_consistency(&tree, old_size as u64, size as u64).unwrap();
            if old_size > 0 {
                assert_eq!(proof, rfc_proof(old_size, &leaves[..size], true));
            }
            let old = Head {
                size: old_size as u64,
                root: mth(&leaves[..old_size]),
            };
            assert_eq!(
                verify_consistency(&old, &new, &proof),
                Ok(()),
                "{old_size} to {size}"
            );
        }
    }
}

#[test]
fn any_change_to_an_inclusion_proof_is_refused() {
    let leaves = leaves(13);
    let tree: Tree = leaves.iter().copied().collect();
    let root = tree.root();
    for index in 0..13u64 {
        let leaf = &leaves[index as usize];
        let proof = prove_inclusion(&tree, index, 13).unwrap();
        for other in (0..13).filter(|&other| other != index) {
            assert!(verify_inclusion(leaf, other, 13, &proof, &root).is_err());
        }
        for at in 0..proof.len() {
            let mut bad = proof.clone();
            bad[at].0[31] ^= 1;
            let got = verify_inclusion(leaf, index, 13, &bad, &root);
            assert!(matches!(got, Err(ProofError::Root { .. })));
        }
        let longer = [&proof[..], &[root]].concat();
        let (got, expected) = (longer.len(), proof.len());
        let error = ProofError::ProofLen { got, expected };
        assert_eq!(
            verify_inclusion(leaf, index, 13, &longer, &root),
            Err(error)
        );
        assert!(verify_inclusion(leaf, index, 13, &proof[1..], &root).is_err());
        assert!(verify_inclusion(&root, index, 13, &proof, &root).is_err());
    }
    let error = ProofError::IndexOutside {
        index: 13,
        size: 13,
    };
    assert_eq!(verify_inclusion(&leaves[0], 13, 13, &[], &root), Err(error));
    assert_eq!(prove_inclusion(&tree, 13, 13), None);
    assert_eq!(prove_inclusion(&tree, 0, 14), None);
}

#[test]
fn any_change_to_a_consistency_proof_is_refused() {
    let leaves = leaves(14);
    let tree: Tree = leaves.iter().copied().collect();
    let head = |size: u64| Head {
        size,
        root: root_at(&tree, size).unwrap(),
    };
    let forked = Head {
        size: 0,
        root: leaf_hash(b"another"),
    };
    for new_size in 0..=14 {
        for old_size in 0..=new_size {
            let (old, new) = (head(old_size), head(new_size));
            let proof = prove_consistency(&tree, old_size, new_size).unwrap();
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at].0[0] ^= 0x80;
                assert!(verify_consistency(&old, &new, &bad).is_err());
                let mut shorter = proof.clone();
                shorter.remove(at);
                assert!(verify_consistency(&old, &new, &shorter).is_err());
            }
            let longer = [&proof[..], &[new.root]].concat();
            assert!(verify_consistency(&old, &new, &longer).is_err());
            let other_old = Head {
                size: old_size,
                ..forked
            };
            assert!(verify_consistency(&other_old, &new, &proof).is_err());
            if old_size > 0 {
                let other_new = Head {
                    size: new_size,
                    ..forked
                };
                assert!(verify_consistency(&old, &other_new, &proof).is_err());
            }
            if old_size < new_size {
                let error = ProofError::Shrunk {
                    old_size: new_size,
                    new_size: old_size,
                };
                assert_eq!(verify_consistency(&new, &old, &proof), Err(error));
            }
        }
    }
    assert_eq!(prove_consistency(&tree, 3, 2), None);
    assert_eq!(prove_consistency(&tree, 3, 15), None);
}

#[test]
fn the_greatest_sizes_are_verified_without_overflow() {
    let some = leaf_hash(b"x");
    let proof = [some; 64];
    assert!(verify_inclusion(&some, u64::MAX - 1, u64::MAX, &proof, &some).is_err());
    let (old, new) = (
        Head {
            size: u64::MAX - 1,
            root: some,
        },
        Head {
            size: u64::MAX,
            root: some,
        },
    );
    assert!(verify_consistency(&old, &new, &proof).is_err());
    assert_eq!(prove_inclusion(&Tree::new(), u64::MAX - 1, u64::MAX), None);
    assert_eq!(
        prove_consistency(&Tree::new(), u64::MAX - 1, u64::MAX),
        None
    );
    assert_eq!(Frontier::from_nodes(&Tree::new(), u64::MAX), None);
}

proptest! {
    #[test]
    fn a_frontier_continued_from_a_store_is_the_frontier_of_all(size in 0u64..300, more in 0u64..50) {
        let leaves = leaves(size + more);
        let tree: Tree = leaves.iter().copied().collect();
        let mut frontier = Frontier::from_nodes(&tree, size).unwrap();
        for leaf in &leaves[size as usize..] {
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.root(), tree.root());
        prop_assert_eq!(Some(frontier), Frontier::from_nodes(&tree, size + more));
    }

    #[test]
    fn foreign_proofs_never_panic(
        index: u64, size: u64, proof in proptest::collection::vec(any::<[u8; 32]>(), 0..70)
    ) {
        let proof: Vec<Sha256Digest> = proof.into_iter().map(Sha256Digest).collect();
        let some = leaf_hash(b"x");
        prop_assert!(verify_inclusion(&some, index, size, &proof, &some).is_err() || size == 1);
        let (old, new) = (Head { size: index, root: some }, Head { size, root: some });
        let _ = verify_consistency(&old, &new, &proof);
    }
}

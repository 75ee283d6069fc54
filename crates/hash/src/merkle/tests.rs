use proptest::prelude::*;

use super::*;

/// The tree as BEP 52 tells it: every slot of every layer, built one above the other.
fn layers(blocks: &[Vec<u8>]) -> Vec<Vec<Sha256Digest>> {
    let width = blocks.len().next_power_of_two();
    let mut row: Vec<_> = blocks.iter().map(|block| sha256(block)).collect();
    row.resize(width, Sha256Digest([0; 32]));
    let mut rows = vec![row];
    while rows.last().unwrap().len() > 1 {
        let above = rows.last().unwrap().chunks(2);
        let above = above.map(|pair| sha256(&[pair[0].0, pair[1].0].concat()));
        rows.push(above.collect());
    }
    rows
}

fn blocks(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| format!("block {n}").into_bytes())
        .collect()
}

fn leaves(count: usize) -> Vec<Sha256Digest> {
    blocks(count).iter().map(|block| leaf(block)).collect()
}

fn hex(text: &str) -> Sha256Digest {
    Sha256Digest::from_hex(text).unwrap()
}

/// The numbers are what `sha256sum` says of 64 zero bytes and of twice that.
#[test]
fn the_padding_of_each_layer_is_the_known_one() {
    assert_eq!(pad(0), Sha256Digest([0; 32]));
    assert_eq!(
        pad(1),
        hex("f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b")
    );
    assert_eq!(
        pad(2),
        hex("db56114e00fdd4c1f85c892bf35ac9a89289aaecb1ebd0a96cde606a748b5d71")
    );
}

#[test]
fn a_file_of_one_block_has_its_leaf_as_root() {
    let leaf = leaf(b"a");
    assert_eq!(root(&[leaf], 1), leaf);
    let shape = Shape::of_len(1);
    assert_eq!((shape.blocks(), shape.height(), shape.width(0)), (1, 0, 1));
}

#[test]
fn roots_and_layers_are_those_of_the_whole_tree() {
    for count in 1..=33 {
        let rows = layers(&blocks(count));
        let leaves = leaves(count);
        let shape = Shape::of_len(count as u64 * u64::from(BLOCK_LEN));
        assert_eq!(root(&leaves, rows[0].len() as u64), rows[rows.len() - 1][0]);
        assert_eq!(shape.height() as usize + 1, rows.len());
        for (up, row) in (0..).zip(&rows) {
            let layer = layer_above(&leaves, 0, up);
            assert_eq!(layer, row[..layer.len()], "{count} blocks, layer {up}");
            assert_eq!(
                (shape.hashes(up), shape.width(up)),
                (layer.len() as u64, row.len() as u64)
            );
            let root = root_above(&layer, up, row.len() as u64);
            assert_eq!(root, rows[rows.len() - 1][0]);
        }
        assert_eq!((shape.hashes(40), shape.width(40)), (0, 0));
    }
}

#[test]
fn a_wider_tree_is_padded_up_to_its_root() {
    let leaves = leaves(3);
    let four = root(&leaves, 4);
    assert_eq!(root(&leaves, 16), parent(&parent(&four, &pad(2)), &pad(3)));
    assert_eq!(root(&[], 4), pad(2));
}

#[test]
fn shapes_of_extreme_lengths_are_counted() {
    let least = Shape::of_len(0);
    assert_eq!((least.blocks(), least.height()), (1, 0));
    let greatest = Shape::of_len(u64::MAX);
    assert_eq!(
        (greatest.blocks(), greatest.height()),
        (1 << 50, HEIGHT_MAX)
    );
    assert_eq!(greatest.width(0), 1 << 50);
    let block = u64::from(BLOCK_LEN);
    assert_eq!(Shape::of_len(block).blocks(), 1);
    assert_eq!(Shape::of_len(block + 1).blocks(), 2);
}

#[test]
fn what_cannot_be_asked_for_is_named_with_its_numbers() {
    let shape = Shape::of_len(20 * u64::from(BLOCK_LEN));
    let range = |base_layer, index, length, proof_layers| Range {
        base_layer,
        index,
        length,
        proof_layers,
    };
    for length in [0, 1, 3, 6, 2 * RANGE_HASHES_MAX] {
        let fault = shape.check(&range(0, 0, length, 0));
        assert_eq!(fault, Err(RangeFault::Length { length }));
    }
    assert_eq!(
        shape.check(&range(0, 2, 4, 0)),
        Err(RangeFault::Index {
            index: 2,
            length: 4
        })
    );
    for (base_layer, index, length, width) in [(0, 32, 2, 32), (5, 0, 2, 1), (6, 0, 2, 0)] {
        assert_eq!(
            shape.check(&range(base_layer, index, length, 0)),
            Err(RangeFault::Beyond {
                index,
                length,
                width
            })
        );
    }
    assert!(shape.check(&range(0, u32::MAX - 1, 2, 0)).is_err());
    assert_eq!(shape.check(&range(0, 0, 2, 4)), Ok(()));
    assert_eq!(
        shape.check(&range(0, 0, 2, 5)),
        Err(RangeFault::ProofLayers {
            proof_layers: 5,
            most: 4
        })
    );
    assert_eq!(
        shape.climb(&range(0, 0, 2, 4), &leaves(5)),
        Err(RangeFault::Count {
            got: 5,
            expected: 6
        })
    );
    assert_eq!(
        shape.answer(&range(0, 0, 2, 4), &leaves(19)),
        Err(RangeFault::Count {
            got: 19,
            expected: 20
        })
    );
    let widest = Shape::of_len(u64::from(RANGE_HASHES_MAX) * 2 * u64::from(BLOCK_LEN));
    assert_eq!(widest.check(&range(0, 0, RANGE_HASHES_MAX, 0)), Ok(()));
}

/// "The first log2(length)-1 proof layers are omitted": of 8 hashes in a tree of height 5, the
/// proof layers 1 and 2 lie within the hashes, and 3 and 4 bring an uncle each.
#[test]
fn an_answer_has_an_uncle_for_each_proof_layer_above_its_subtree() {
    let len = |length, proof_layers| {
        let range = Range {
            base_layer: 0,
            index: 0,
            length,
            proof_layers,
        };
        range.answer_len() - length as usize
    };
    assert_eq!(
        [0, 1, 2, 3, 4].map(|layers| len(8, layers)),
        [0, 0, 0, 1, 2]
    );
    assert_eq!([0, 1, 4].map(|layers| len(2, layers)), [0, 1, 4]);
}

proptest! {
    /// Every answer that the tree gives climbs to the tree's own hash, to the root where the proof
    /// is whole; and no answer with one bit changed does.
    #[test]
    fn answers_climb_to_the_root_and_changed_ones_do_not(
        count in 2usize..70,
        base in 0u32..6,
        length_log in 1u32..6,
        index: u32,
        proof: u32,
        flip: u32,
    ) {
        let rows = layers(&blocks(count));
        let shape = Shape::of_len(count as u64 * u64::from(BLOCK_LEN));
        let base_layer = base % shape.height();
        let length = 1 << (1 + length_log % (shape.height() - base_layer));
        let width = shape.width(base_layer) as u32;
        let index = index % (width / length) * length;
        let proof_layers = proof % (shape.height() - base_layer);
        let range = Range { base_layer, index, length, proof_layers };
        prop_assert_eq!(shape.check(&range), Ok(()));

        let layer = layer_above(&leaves(count), 0, base_layer);
        let mut answer = shape.answer(&range, &layer).unwrap();
        let own = &rows[base_layer as usize][index as usize..][..length as usize];
        prop_assert_eq!(&answer[..length as usize], own);
        let climbed = shape.climb(&range, &answer).unwrap();
        let expected = rows[climbed.layer as usize][climbed.index as usize];
        prop_assert_eq!(climbed.hash, expected);
        let highest = (base_layer + 1 + proof_layers).max(base_layer + length.trailing_zeros());
        prop_assert_eq!(climbed.layer, highest);

        let bit = flip as usize % (answer.len() * 256);
        answer[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(shape.climb(&range, &answer).unwrap().hash, expected);
    }
}

//! What is taken and what is refused, beside serde_json's `RawValue`: texts of all kinds with bytes lost, doubled, replaced and put in.

use serde_json::value::RawValue;

use super::*;
use crate::json::engine::tests::equality::cases;
use crate::json::engine::tests::random::Random;
use crate::json::engine::tests::vectors::suite;

/// What mutations put in: what the grammar is made of, and what is nearly UTF-8.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\\\",
    b"\\\"",
    b"\\u",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\\ud800",
    b"\\x",
    b"0",
    b"-",
    b"1",
    b".",
    b"e",
    b"E+",
    b"1.5e-7",
    b"00",
    b"true",
    b"tru",
    b"false",
    b"null",
    b" ",
    b"\n",
    b"\t",
    b"\r",
    b"\x00",
    b"\x0b",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xc3",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{\"a\":1}",
    b"[1,2]",
    b"\"a\"",
    b",\"b\":",
    b"/",
    b"'",
    b"//",
];

fn mutate(random: &mut Random, text: &mut Vec<u8>) {
    for _ in 0..random.below(3) {
        let at = random.below(text.len() + 1);
        match random.below(7) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..(at + 1 + random.below(4)).min(text.len()))),
            2 if at < text.len() => text[at] = random.below(256) as u8,
            3 if at < text.len() => text[at] ^= 1 << random.below(8),
            4 => {
                let end = (at + random.below(12)).min(text.len());
                let again = text[at..end].to_vec();
                text.splice(at..at, again);
            }
            _ => {
                text.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied());
            }
        }
    }
}

#[test]
fn mutated_texts_are_taken_and_refused_as_by_serde_json_however_they_are_cut() {
    let backends = Backend::available();
    // Some of the suite are large, or deeper than is taken here.
    let suite: Vec<_> = suite().into_iter().map(|(_, text)| text).filter(|text| text.len() < 300).collect();
    let (mut taken, mut refused) = (0u64, 0u64);
    for seed in cases(4_000, 1_000_000) {
        let mut random = Random(seed.wrapping_mul(0xa076_1d64_78bd_642f) | 1);
        let mut text = match random.below(4) {
            0 if !suite.is_empty() => suite[random.below(suite.len())].clone(),
            1 => (0..random.below(30)).flat_map(|_| PIECES[random.below(PIECES.len())].to_vec()).collect(),
            _ => random.value_text(),
        };
        mutate(&mut random, &mut text);
        let expected = serde_json::from_slice::<&RawValue>(&text).is_ok();
        taken += u64::from(expected);
        refused += u64::from(!expected);

        let first = read(&Arc::default(), backends[0], &text, &[text.len()]).err();
        assert_eq!(first.is_none(), expected, "seed {seed}: {} is {first:?}", text.escape_ascii());
        for &backend in &backends {
            let same = |cuts: &[usize]| {
                let found = read(&Arc::default(), backend, &text, cuts).err();
                assert_eq!(found, first, "seed {seed}: {} cut {cuts:?}, {backend:?}", text.escape_ascii());
            };
            same(&[text.len()]);
            same(&steps(&text, 1));
            same(&random.cuts(text.len()));
            // Each way to cut it in two.
            if text.len() < 40 {
                (1..text.len()).for_each(|cut| same(&[cut, text.len()]));
            }
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 500 && refused > 500);
}

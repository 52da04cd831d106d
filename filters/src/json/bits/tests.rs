use super::*;

/// Reads a text byte by byte, as the grammar says it.
fn slowly(text: &[u8]) -> Vec<(bool, bool)> {
    let (mut inside, mut escape) = (false, false);
    text.iter()
        .map(|&byte| {
            let quote = byte == b'"' && !escape;
            escape = byte == b'\\' && !escape;
            inside ^= quote;
            (quote, inside)
        })
        .collect()
}

#[test]
fn strings_and_escapes_are_found_across_blocks_and_chunks() {
    let mut seed = 1u32;
    for round in 0..3000 {
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 12) as usize % below
        };
        let text: Vec<u8> = (0..next(300)).map(|_| br#"\\\\\""{}[]a"#[next(12)]).collect();
        let expected = slowly(&text);

        let mut carry = Carry::default();
        let mut at = 0;
        while at < text.len() {
            let valid = if round % 2 == 0 { 64 } else { 1 + next(64) }.min(text.len() - at);
            let mut block = [b' '; 64];
            block[..valid].copy_from_slice(&text[at..at + valid]);
            let found = carry.resolve(Scalar, Scalar.bytes(&block), valid as u32);
            for bit in 0..valid {
                let (quote, inside) = expected[at + bit];
                assert_eq!(found.quotes >> bit & 1 == 1, quote, "{at} {bit} {:?}", str::from_utf8(&text));
                let open = matches!(text[at + bit], b'{' | b'[') && !inside;
                assert_eq!(found.open >> bit & 1 == 1, open);
            }
            at += valid;
            assert_eq!(carry.in_string(), expected[at - 1].1);
        }
    }
}

#[test]
fn every_backend_of_this_processor_sees_what_the_scalar_one_sees() {
    let available = Backend::available();
    println!("backends here: {available:?}");
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        match x86::Avx2::detect() {
            Some(token) => assert!(x86::agrees_with_scalar(token)),
            None => frontgate_test_support::skipped("this processor has no AVX2"),
        }
        match x86::Avx512::detect() {
            Some(token) => assert!(x86::agrees_with_scalar(token)),
            None => frontgate_test_support::skipped("this processor has no AVX-512, its form was not run"),
        }
    }
    assert_eq!(available[0], Backend::SCALAR);
}

#[test]
fn the_scalar_form_knows_each_byte() {
    let names = Prefilter { before: [1; 16], last: std::array::from_fn(|i| u8::from(i == 4)) };
    for byte in 0..=255u8 {
        for place in [0, 7, 8, 63] {
            let mut block = [b'x'; 64];
            block[place] = byte;
            let (bytes, hits) = Scalar.names(&block, &[b'x'; 64], &names);
            let bit = |bits: u64| bits >> place & 1 == 1;
            assert_eq!(bit(bytes.quote), byte == b'"');
            assert_eq!(bit(bytes.backslash), byte == b'\\');
            assert_eq!(bit(bytes.open), byte == b'{' || byte == b'[');
            assert_eq!(bit(bytes.close), byte == b'}' || byte == b']');
            assert_eq!(bit(hits), byte.is_ascii() && byte & 15 == 4);
        }
    }
}

#[test]
fn strings_are_told_as_structure_tells_them() {
    let mut seed = 9u32;
    for round in 0..3000 {
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 12) as usize % below
        };
        let text: Vec<u8> = (0..next(300)).map(|_| b"\\\\\\\\\"\"{}[]a\n"[next(12)]).collect();
        let (mut carry, mut same) = (Carry::default(), Carry::default());
        let mut at = 0;
        while at < text.len() {
            let valid = if round % 2 == 0 { 64 } else { 1 + next(64) }.min(text.len() - at);
            let mut block = [b' '; 64];
            block[..valid].copy_from_slice(&text[at..at + valid]);
            let expected = carry.resolve(Scalar, Scalar.bytes(&block), valid as u32);
            let found = same.strings(Scalar, Scalar.text(&block), valid as u32);
            let within = u64::MAX >> (64 - valid);
            assert_eq!(found.quotes & within, expected.quotes & within);
            assert_eq!(found.quotes & !found.inside & within, expected.closing & within);
            assert_eq!(found.slashed & within, expected.escaped & within);
            for bit in (0..valid).filter(|bit| found.escaped >> bit & 1 == 1) {
                assert!(at + bit > 0 && text[at + bit - 1] == b'\\', "what is escaped has a backslash before it");
            }
            at += valid;
        }
    }
}

#[test]
fn control_characters_and_what_is_not_ascii_are_seen_wherever_they_stand() {
    for byte in 0..=255u8 {
        for place in [0, 7, 8, 63] {
            let mut block = [b'x'; 64];
            block[place] = byte;
            let text = Scalar.text(&block);
            assert_eq!(text.control, u64::from(byte < b' ') << place, "{byte}");
            assert_eq!((text.quote, text.backslash), (u64::from(byte == b'"') << place, u64::from(byte == b'\\') << place));
            assert_eq!(text.foreign, byte >= 0x80);
        }
    }
}

#[test]
fn characters_that_are_told_by_counting_are_utf8() {
    let pieces: [&[u8]; 14] = [
        b"a",
        "é".as_bytes(),
        "߿".as_bytes(),
        "€".as_bytes(),
        "\u{fffd}".as_bytes(),
        "ࠀ".as_bytes(),
        "\u{d7ff}".as_bytes(),
        "😀".as_bytes(),
        b"\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xff",
    ];
    let mut seed = 5u32;
    let (mut whole, mut cut) = (0, 0);
    for round in 0..40_000 {
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 12) as usize % below
        };
        // Most often only what is right.
        let kinds = [5, 5, 5, 14][round % 4];
        let mut text: Vec<u8> = (0..64).flat_map(|_| pieces[next(kinds)].to_vec()).collect();
        text.truncate(64);
        let block: &[u8; 64] = text.first_chunk().expect("64 bytes");
        let Some(end) = Scalar.characters(block).whole() else { continue };
        let (left, rest) = block.split_at(end as usize);
        assert!(str::from_utf8(left).is_ok(), "{}", left.escape_ascii());
        match rest {
            [] => whole += 1,
            rest => {
                cut += 1;
                assert_eq!(
                    str::from_utf8(rest).map_err(|error| (error.valid_up_to(), error.error_len())),
                    Err((0, None)),
                    "{}",
                    rest.escape_ascii()
                );
            }
        }
    }
    assert!(whole > 1000 && cut > 1000, "{whole} {cut}");
}

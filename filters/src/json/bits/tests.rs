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

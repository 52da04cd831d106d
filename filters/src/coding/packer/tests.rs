use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::coding::Opener;

/// What was packed, by the libraries' own readers; an error where it is not whole.
fn opened(coding: Coding, packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match coding {
        Coding::Zstd => text = ::zstd::decode_all(packed)?,
        Coding::Brotli => drop(::brotli::Decompressor::new(packed, 4096).read_to_end(&mut text)?),
        Coding::Gzip => drop(flate2::read::GzDecoder::new(packed).read_to_end(&mut text)?),
    }
    Ok(text)
}

/// As much as can be opened of a body that has not ended.
fn so_far(coding: Coding, packed: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read + '_> = match coding {
        Coding::Zstd => Box::new(::zstd::stream::read::Decoder::new(packed).expect("a reader")),
        Coding::Brotli => Box::new(::brotli::Decompressor::new(packed, 4096)),
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(packed)),
    };
    let (mut text, mut space) = (Vec::new(), [0_u8; 4096]);
    while let Ok(count @ 1..) = reader.read(&mut space) {
        text.extend_from_slice(&space[..count]);
    }
    text
}

fn packer(coding: Coding, length: Option<u64>) -> Packer {
    Packer::new(coding, length).expect("a place")
}

/// Bodies of every sort: noise, the same again and again, and lists as JSON has them.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let list = |ids: Vec<u32>| ids.iter().map(|id| format!(r#"{{"id":{id},"title":"Lamp No. {id}"}},"#)).collect::<String>().into_bytes();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20_000),
        (any::<u8>(), 0_usize..200_000).prop_map(|(byte, length)| vec![byte; length]),
        prop::collection::vec(any::<u32>(), 0..3_000).prop_map(list),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("FRONTGATE_LONG").is_some() { 5_000 } else { 48 }))]

    #[test]
    fn what_is_packed_opens_to_the_same_however_it_comes_in_pieces(
        body in bodies(),
        pieces in prop::collection::vec((0_usize..70_000, any::<bool>()), 0..12),
        told in any::<bool>(),
    ) {
        for coding in Coding::ALL {
            let mut packer = packer(coding, told.then_some(body.len() as u64));
            let (mut packed, mut rest) = (Vec::new(), &body[..]);
            for (length, pauses) in &pieces {
                let (piece, after) = rest.split_at((*length).min(rest.len()));
                rest = after;
                packed.extend(packer.pack(piece, if *pauses { Then::Pause } else { Then::More }).expect("it packs").unwrap_or_default());
            }
            packed.extend(packer.pack(rest, Then::End).expect("it packs").unwrap_or_default());

            prop_assert_eq!(&opened(coding, &packed).expect("it opens"), &body);
            // Another body under another length follows in the same encoder.
            prop_assert!(!packed.is_empty() && opened(coding, &packed[..packed.len() - 1]).map_or(true, |text| text != body || coding == Coding::Brotli));
        }
    }
}

#[test]
fn at_a_pause_everything_can_be_opened() {
    for coding in Coding::ALL {
        let mut packer = packer(coding, None);
        let (mut packed, mut told) = (Vec::new(), Vec::new());
        for number in 0..50 {
            let piece = format!("{{\"event\":{number}}}\n").into_bytes();
            told.extend_from_slice(&piece);

            packed.extend(packer.pack(&piece, Then::Pause).expect("it packs").expect("it holds nothing back"));

            assert_eq!(so_far(coding, &packed), told, "{coding:?}");
        }
        assert_eq!(packer.pack(b"", Then::Pause).expect("it packs"), None, "{coding:?}: a pause after a pause says nothing");
    }
}

#[test]
fn pieces_that_come_together_are_packed_together() {
    let piece = br#"{"id":1,"title":"Lamp No. 1","price":{"amount":1990,"currency":"EUR"},"stock":{"berlin":3,"hamburg":7}},"#;
    for coding in Coding::ALL {
        let packed = |then: Then| {
            let mut packer = packer(coding, None);
            let parts = (0..100).map(|_| packer.pack(piece, then).expect("it packs").map_or(0, |part| part.len()));
            let sum: usize = parts.sum();
            sum + packer.pack(b"", Then::End).expect("it packs").map_or(0, |part| part.len())
        };

        let (together, apart) = (packed(Then::More), packed(Then::Pause));

        assert!(together * 3 < apart, "{coding:?}: {together} and {apart}");
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    // Noise, of which nothing can be packed away.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..4 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    for coding in Coding::ALL {
        let mut packer = packer(coding, None);
        let mut behind = 0_usize;
        for piece in noise.chunks(1_000) {
            behind += piece.len();
            behind = behind.saturating_sub(packer.pack(piece, Then::More).expect("it packs").map_or(0, |part| part.len()));
            assert!(behind <= 512 << 10, "{coding:?} holds {behind} bytes back");
        }
    }
}

#[test]
fn a_body_that_is_cut_is_not_whole() {
    for coding in [Coding::Zstd, Coding::Gzip] {
        let packed = packer(coding, None).pack(b"the beginning of something", Then::Pause).expect("it packs").expect("some bytes");

        assert!(opened(coding, &packed).is_err(), "{coding:?}");
    }
    let mut text = Vec::new();
    let packed = packer(Coding::Brotli, None).pack(b"the beginning of something", Then::Pause).expect("it packs").expect("some bytes");
    let read = ::brotli::Decompressor::new(&packed[..], 4096).read_to_end(&mut text);
    assert!(read.is_err(), "{text:?}");
}

#[test]
fn an_empty_body_is_a_whole_one() {
    for coding in Coding::ALL {
        let packed = packer(coding, Some(0)).pack(b"", Then::End).expect("it packs").expect("some bytes");

        assert_eq!(opened(coding, &packed).expect("it opens"), b"", "{coding:?}");
    }
}

#[test]
fn an_encoder_that_was_left_in_the_middle_serves_again() {
    for coding in Coding::ALL {
        for _ in 0..20 {
            packer(coding, Some(100)).pack(b"left in the middle of", Then::More).expect("it packs");
            let packed = packer(coding, None).pack(b"another one", Then::End).expect("it packs").expect("some bytes");

            assert_eq!(opened(coding, &packed).expect("it opens"), b"another one", "{coding:?}");
        }
    }
}

#[test]
fn there_are_only_so_many_places_and_each_is_given_back() {
    // Others run beside this test: a bound of none, and one that they cannot reach.
    assert!(Place::take(0).is_none());
    let before = UNDER_WAY.load(Ordering::Relaxed);
    let places: Vec<_> = (0..10).filter_map(|_| Place::take(usize::MAX)).collect();

    assert!(places.len() == 10 && UNDER_WAY.load(Ordering::Relaxed) >= 10);
    drop(places);
    assert!(UNDER_WAY.load(Ordering::Relaxed) <= before + 1_000);
}

#[test]
fn what_trim_opens_is_what_was_packed_here() {
    let text: Vec<u8> = (0..50_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
    for coding in [Coding::Gzip, Coding::Brotli] {
        let mut packer = packer(coding, None);
        let mut packed = Vec::new();
        for part in text.chunks(7_001) {
            packed.extend(packer.pack(part, Then::Pause).expect("it packs").unwrap_or_default());
        }
        packed.extend(packer.pack(b"", Then::End).expect("it packs").unwrap_or_default());

        let mut opener = Opener::of(coding.name().as_bytes()).expect("an opener");
        let mut opened = Vec::new();
        for part in packed.chunks(997) {
            opened.extend_from_slice(&opener.push(part, false).expect("opens"));
        }
        opened.extend_from_slice(&opener.push(b"", true).expect("ends"));
        assert_eq!(opened, text, "{coding:?}");
    }
}

#[test]
fn windows_are_no_larger_than_their_bodies() {
    for (length, log) in [(None, 16), (Some(0), 10), (Some(1024), 10), (Some(1025), 11), (Some(65_536), 16), (Some(u64::MAX), 16)] {
        assert_eq!(window(length, 10, 16), log, "{length:?}");
    }
}

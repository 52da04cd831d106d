//! A public suite of good and bad texts: what must parse does, what must not does not, and what may is decided here.

use super::*;
use crate::json::engine::tests::vectors::suite;

/// Texts of which the suite leaves open whether they are taken: these are. Numbers are never computed, so that none is too large; half a
/// surrogate pair is right by the grammar.
const TAKEN: &[&str] = &[
    "i_number_double_huge_neg_exp.json",
    "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",
    "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
    "i_object_key_lone_2nd_surrogate.json",
    "i_string_1st_surrogate_but_2nd_missing.json",
    "i_string_1st_valid_surrogate_2nd_invalid.json",
    "i_string_incomplete_surrogate_and_escape_valid.json",
    "i_string_incomplete_surrogate_pair.json",
    "i_string_incomplete_surrogates_escape_valid.json",
    "i_string_invalid_lonely_surrogate.json",
    "i_string_invalid_surrogate.json",
    "i_string_inverted_surrogates_U+1D11E.json",
    "i_string_lone_second_surrogate.json",
    "i_structure_500_nested_arrays.json",
];

/// And these are refused: what is not UTF-8, and a byte order mark.
const REFUSED: &[&str] = &[
    "i_string_UTF-16LE_with_BOM.json",
    "i_string_UTF-8_invalid_sequence.json",
    "i_string_UTF8_surrogate_U+D800.json",
    "i_string_invalid_utf-8.json",
    "i_string_iso_latin_1.json",
    "i_string_lone_utf8_continuation_byte.json",
    "i_string_not_in_unicode_range.json",
    "i_string_overlong_sequence_2_bytes.json",
    "i_string_overlong_sequence_6_bytes.json",
    "i_string_overlong_sequence_6_bytes_null.json",
    "i_string_truncated-utf-8.json",
    "i_string_utf16BE_no_BOM.json",
    "i_string_utf16LE_no_BOM.json",
    "i_structure_UTF-8_BOM_empty_object.json",
];

#[test]
fn the_json_test_suite_is_taken_and_refused_as_it_says() {
    let suite = suite();
    if suite.is_empty() {
        return;
    }
    let (mut taken, mut refused, mut open) = (0, 0, 0);
    for (name, text) in suite {
        let found = if text.len() < 1000 {
            fault(&text)
        } else {
            let results = [1000, 4096, text.len()].map(|step| read(&Arc::default(), Backend::best(), &text, &steps(&text, step)).err());
            assert!(results.iter().all(|one| *one == results[0]), "{name}");
            results[0]
        };
        let expected = match name.as_bytes()[0] {
            b'y' => true,
            b'n' => false,
            _ => {
                open += 1;
                assert!(TAKEN.contains(&name.as_str()) != REFUSED.contains(&name.as_str()), "{name} is not decided");
                TAKEN.contains(&name.as_str())
            }
        };
        taken += usize::from(expected);
        refused += usize::from(!expected);
        assert_eq!(found.is_none(), expected, "{name}: {found:?}");
    }
    println!("{taken} taken, {refused} refused, of these {open} were open");
    assert_eq!(open, TAKEN.len() + REFUSED.len());
    assert!(taken >= 95 && refused >= 188);
}

//! In which memory the bytes go out.

use super::*;

fn push(policy: &Arc<Policy>, chunk: Bytes) -> Option<Bytes> {
    let mut body = Some(chunk);
    Trimmer::new(policy.clone(), OnMalformed::Pass).push(&mut body, false).expect("no defect");
    body
}

fn unique(text: &str) -> Bytes {
    BytesMut::from(text).freeze()
}

#[test]
fn a_chunk_of_which_nothing_goes_is_the_same_chunk() {
    for policy in [dropping(&["nothing"]), dropping(&["*.*.*.q"]), keeping(&["a"]), dropping(&[])] {
        let chunk = unique(r#"{"a":[1,2,{"b":"c"}]}"#);
        let place = chunk.as_ptr();
        let body = push(&policy, chunk).expect("a body");
        assert_eq!((body.as_ptr(), body.len()), (place, 21));
    }
}

#[test]
fn a_single_run_is_a_slice() {
    let chunk = Bytes::from_static(br#"{"b":2,"a":1"#);
    let body = push(&dropping(&["a"]), chunk.clone()).expect("a body");
    assert_eq!(body, r#"{"b":2"#);
    assert_eq!(body.as_ptr(), chunk.as_ptr());
}

#[test]
fn the_only_owner_has_its_runs_moved_together_in_place() {
    let chunk = unique(r#"{"b":2,"a":1,"c":3}"#);
    let place = chunk.as_ptr();
    let body = push(&dropping(&["a"]), chunk).expect("a body");
    assert_eq!(body, r#"{"b":2,"c":3}"#);
    assert_eq!(body.as_ptr(), place);
}

#[test]
fn a_shared_chunk_is_copied_and_left_as_it_was() {
    let chunk = unique(r#"{"b":2,"a":1,"c":3}"#);
    let body = push(&dropping(&["a"]), chunk.clone()).expect("a body");
    assert_eq!(body, r#"{"b":2,"c":3}"#);
    assert_eq!(chunk, r#"{"b":2,"a":1,"c":3}"#);
}

#[test]
fn a_chunk_of_which_all_goes_is_none() {
    let mut trimmer = Trimmer::new(dropping(&["a"]), OnMalformed::Pass);
    let mut body = Some(Bytes::from_static(br#"{"a":"xx"#));
    trimmer.push(&mut body, false).expect("no defect");
    assert_eq!(body.as_deref(), Some(&b"{"[..]));

    let mut body = Some(Bytes::from_static(b"xxxxx"));
    trimmer.push(&mut body, false).expect("no defect");
    assert_eq!(body, None);

    let mut body = Some(Bytes::from_static(b"\"}"));
    trimmer.push(&mut body, true).expect("no defect");
    assert_eq!(body.as_deref(), Some(&b"}"[..]));
}

#[test]
fn a_held_header_goes_into_the_first_gap() {
    let mut trimmer = Trimmer::new(keeping(&["a"]), OnMalformed::Pass);
    trimmer.push(&mut Some(unique(r#"{"x":1,"a"#)), false).expect("no defect");
    let chunk = unique(r#"":1,"x":"......","a":2}"#);
    let place = chunk.as_ptr() as usize;
    let mut body = Some(chunk);
    trimmer.push(&mut body, true).expect("no defect");
    assert_eq!(body.as_deref(), Some(&br#""a":1,"a":2}"#[..]));
    assert!(body.is_some_and(|body| (place..place + 24).contains(&(body.as_ptr() as usize))));
}

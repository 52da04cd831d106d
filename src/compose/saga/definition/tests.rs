//! What a definition sends, what it keeps for that, and what it reads of answers.

use frontgate_filters::filter::{Facts, Identity};
use pingora_http::RequestHeader;
use serde_json::{Value as Dom, json};

use super::*;
use crate::compose::saga::machine::{self, State, Stuck};
use crate::compose::saga::record::Millis;

fn checkout() -> Dom {
    json!({
        "key": ["claim.sub", "header.Idempotency-Key"],
        "steps": {
            "reserve": {"upstream": "stock", "post": "/shops/{shop}/reservations?q={query.q}", "at": "data",
                        "body": {"sku": "{body.sku}", "for": "u-{claim.sub}", "all": "{body.items.id}"},
                        "headers": {"X-Saga": "{saga}", "X-None": "{header.X-None}"}, "timeout": "2s",
                        "undo": {"delete": "/reservations/by-key/{reserve.key}"}},
            "charge": {"upstream": "payments", "post": "/charges", "body": {"amount": "{reserve.total}"}, "attempts": 3,
                       "undo": {"post": "/charges/{charge.id}/refund"}},
            "note": {"upstream": "notes", "put": "/notes", "undo": "none"},
            "confirm": {"upstream": "orders", "post": "/orders", "body": {"charge": "{charge.id}"}}
        },
        "answer": {"order": "{confirm.id}", "state": "done"}
    })
}

fn definition(saga: Dom) -> Result<Definition, String> {
    Definition::compile("/shops/{shop}/checkout", &serde_json::from_value(saga).expect("a saga"), &|name, _| name == "X-Secret")
}

fn request(body: &'static str) -> (RequestHeader, Facts, Bytes) {
    let mut head = RequestHeader::build("POST", b"/shops/a%20b/checkout?q=x+y", None).expect("a head");
    head.insert_header("Content-Type", "application/json").expect("a header");
    let mut facts = Facts::new([127, 0, 0, 1].into(), HeaderValue::from_static("1"));
    facts.identity = Some(Arc::new(Identity::new(json!({"sub": "u1"}).as_object().cloned().expect("claims"))));
    (head, facts, Bytes::from_static(body.as_bytes()))
}

fn begun(definition: &Definition, body: &'static str) -> Result<Record, NoFacts> {
    let (head, facts, body) = request(body);
    let hash = Hash::of(&[]);
    let mut record = Record::begin("checkout".to_owned(), hash, hash, definition.hash, "1".to_owned(), Millis(1));
    definition.gather(&head, &facts, &body, &mut record).map(|()| record)
}

#[test]
fn calls_are_made_of_what_was_kept_alone_also_by_a_definition_that_was_read_again() {
    let written = definition(checkout()).expect("a definition");
    let read = Definition::read(written.text.clone()).expect("it can be read");
    assert_eq!(read.hash, written.hash);
    let mut record = begun(&written, r#"{"sku": 12345678901234567890, "items": [{"id": 1}, {"id": "b"}]}"#).expect("facts");
    let id = Id::fresh();

    let reserve = read.prepare(Send::Step(0), id, &record).expect("it can be sent");

    assert_eq!((&reserve.method, reserve.target.as_str()), (&Method::POST, "/shops/a%20b/reservations?q=x+y"));
    assert_eq!(reserve.body.as_deref(), Some(&br#"{"sku":12345678901234567890,"for":"u-u1","all":[1,"b"]}"#[..]));
    assert_eq!(reserve.fields["idempotency-key"], format!("{id}-reserve"));
    assert_eq!(reserve.fields["x-saga"], id.to_string());
    assert!(!reserve.fields.contains_key("x-none"));
    assert_eq!((reserve.upstream, reserve.timeout, &**read.name(Send::Step(0))), ("stock", Some(Duration::from_secs(2)), "reserve"));
    let undo = read.prepare(Send::Undo(0), id, &record).expect("it can be sent");
    assert_eq!((undo.target, undo.body), (format!("/reservations/by-key/{id}-reserve"), None));
    assert_eq!(
        (&undo.fields["idempotency-key"], &**read.name(Send::Undo(0))),
        (&HeaderValue::try_from(format!("{id}-reserve-undo")).expect("a value"), "reserve/undo")
    );

    let parts = read.parts(0, vec![Bytes::from_static(br#"{"data": {"to"#), Bytes::from_static(br#"tal": 1.50}}"#)]).expect("parts");
    record.answers.insert(0, parts);
    record.answers.insert(1, read.parts(1, vec![Bytes::from_static(br#"{"id": "c/1", "other": 1}"#)]).expect("parts"));
    record.answers.insert(3, read.parts(3, vec![Bytes::from_static(br#"{"id": 9}"#)]).expect("parts"));
    let charge = read.prepare(Send::Step(1), id, &record).expect("it can be sent");
    assert_eq!(charge.body.as_deref(), Some(&br#"{"amount":1.50}"#[..]));
    assert_eq!(read.prepare(Send::Undo(1), id, &record).expect("it can be sent").target, "/charges/c%2F1/refund");
    let note = read.prepare(Send::Step(2), id, &record).expect("it can be sent");
    assert!(note.body.is_some_and(|body| body.starts_with(b"{\"sku\"")), "the client's body as it came");
    assert_eq!(note.fields["content-type"], "application/json");
    assert_eq!(read.answer(id, &record), r#"{"order":9,"state":"done"}"#);
}

#[test]
fn the_clients_body_is_sent_with_the_coding_that_it_is_in() {
    let definition = definition(json!({"steps": {"note": {"upstream": "notes", "post": "/notes"}}})).expect("a definition");
    let (mut head, facts, _) = request("");
    head.insert_header("Content-Encoding", "gzip").expect("a header");
    let hash = Hash::of(&[]);
    let mut record = Record::begin("checkout".to_owned(), hash, hash, definition.hash, "1".to_owned(), Millis(1));
    definition.gather(&head, &facts, &Bytes::from_static(b"\x1f\x8b"), &mut record).expect("facts");

    let read = Record::read(&record.to_bytes()).expect("a record");
    let note = definition.prepare(Send::Step(0), Id::fresh(), &read).expect("it can be sent");

    assert_eq!(note.fields["content-encoding"], "gzip");
    assert_eq!(note.body.as_deref(), Some(&b"\x1f\x8b"[..]));
}

#[test]
fn a_request_is_told_from_another_by_what_it_says_and_not_by_its_connection() {
    let headers = json!({"A": "{client_ip}", "B": "{query.q}", "C": "{header.X-None}", "D": "{claim.sub}"});
    let definition =
        definition(json!({"steps": {"a": {"upstream": "p", "post": "/{shop}", "headers": headers, "body": {"x": "{body.x}"}}}}));
    let definition = definition.expect("a definition");
    let record = begun(&definition, r#"{"x": 1}"#).expect("facts");

    let said: Vec<&[u8]> = definition.said(&record).collect();

    let told = ["shop", "\"a b\"", "query.q", "\"x y\"", "header.X-None", "", "claim.sub", "\"u1\""];
    assert_eq!(said, told.map(str::as_bytes));
}

#[test]
fn what_is_missing_cannot_be_sent_and_what_cannot_be_read_is_no_answer() {
    let definition = definition(checkout()).expect("a definition");
    let mut record = begun(&definition, "{}").expect("facts");
    let id = Id::fresh();

    assert_eq!(definition.prepare(Send::Undo(1), id, &record).err(), Some(Missing));
    assert_eq!(definition.prepare(Send::Step(0), id, &record).expect("it can be sent").body.as_deref(), Some(&br#"{"for":"u-u1"}"#[..]));
    record.facts.remove("claim.sub");
    assert_eq!(definition.prepare(Send::Step(0), id, &record).err(), Some(Missing));
    assert_eq!(definition.parts(1, vec![Bytes::from_static(b"<html>")]), None);
    assert_eq!(definition.parts(1, vec![]), Some(BTreeMap::new()), "no body is null, which has no members");
    assert_eq!(definition.parts(2, vec![Bytes::from_static(b"<html>")]), Some(BTreeMap::new()), "nobody refers to it");
    assert_eq!(begun(&definition, "{").err(), Some(NoFacts::Body));
}

#[test]
fn the_machine_knows_which_undos_name_answers_and_which_step_is_the_pivot() {
    let undos: Vec<machine::Undo> = definition(checkout()).expect("a definition").shape.steps.iter().map(|step| step.undo).collect();

    assert_eq!(
        undos,
        [
            machine::Undo::Call { needs_answer: false },
            machine::Undo::Call { needs_answer: true },
            machine::Undo::Nothing,
            machine::Undo::Never
        ]
    );
}

#[test]
fn without_an_answer_each_step_is_a_member() {
    let definition =
        definition(json!({"steps": {"a": {"upstream": "p", "post": "/a", "undo": "none"}, "b": {"upstream": "p", "post": "/b"}}}));
    let definition = definition.expect("a definition");
    let mut record = begun(&definition, "").expect("facts");
    record.state = State::Done;
    record.answers.insert(0, definition.parts(0, vec![Bytes::from_static(b" {\"x\": 1}")]).expect("parts"));
    record.answers.insert(1, definition.parts(1, vec![]).expect("parts"));

    assert_eq!(definition.answer(Id::fresh(), &record), r#"{"a":{"x": 1},"b":null}"#);
}

#[test]
fn no_step_refers_to_later_ones_or_to_itself() {
    for (step, words) in [
        (json!({"upstream": "p", "post": "/{b.id}", "undo": "none"}), "`b` is no step before"),
        (json!({"upstream": "p", "post": "/{a.id}", "undo": "none"}), "`a` has no answer yet"),
        (json!({"upstream": "p", "post": "/", "undo": {"delete": "/{b.id}"}}), "`b` is no step before"),
        (json!({"upstream": "p", "post": "/"}), "only the last step may have no undo"),
        (json!({"upstream": "p", "undo": "none"}), "it asks for nothing"),
    ] {
        let saga = json!({"steps": {"a": step, "b": {"upstream": "p", "post": "/b"}}});
        let why = definition(saga).err().expect("it is refused");
        assert!(why.contains(words), "{why}");
    }
    let own_key = json!({"steps": {"a": {"upstream": "p", "post": "/{a.key}"}}});
    assert!(definition(own_key).is_ok());
}

#[test]
fn of_members_of_one_name_the_last_one_counts_as_in_aggregates() {
    let written = definition(json!({"steps": {"charge": {"upstream": "p", "post": "/c", "body": {"amount": "{body.amount}"}}}}))
        .expect("a definition");
    let record = begun(&written, r#"{"amount": 1, "amount": 1000000}"#).expect("facts");

    let charge = written.prepare(Send::Step(0), Id::fresh(), &record).expect("it can be sent");

    assert_eq!(charge.body.as_deref(), Some(&br#"{"amount":1000000}"#[..]));
}

#[test]
fn a_record_that_speaks_of_steps_that_there_are_not_does_not_fit() {
    use crate::compose::saga::record::Failure;
    let written = definition(checkout()).expect("a definition");
    let fits = |change: &dyn Fn(&mut Record)| {
        let mut record = begun(&written, r#"{"sku": 1}"#).expect("facts");
        change(&mut record);
        written.fits(&record)
    };

    for step in 0..4 {
        assert_eq!(fits(&|record| record.state = State::Running(step)), Ok(()));
    }
    assert_eq!(fits(&|record| record.state = State::Undoing(1)), Ok(()));
    let wrong: [&dyn Fn(&mut Record); 6] = [
        &|record| record.state = State::Running(4),
        &|record| record.state = State::Undoing(usize::MAX),
        &|record| record.state = State::Undoing(3),
        &|record| record.state = State::Stuck(Stuck::Lost(9)),
        &|record| record.failure = Some(Failure { step: 64, why: String::new() }),
        &|record| drop(record.answers.insert(64, BTreeMap::new())),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        assert!(fits(change).is_err(), "{number}");
    }
}

#[test]
fn a_header_that_is_a_secret_is_asked_of_the_configuration_unless_it_refers_to_something() {
    let with = |secret: &str| {
        let headers = json!({"X-Secret": secret, "X-Plain": "plain"});
        let undo = json!({"delete": "/a", "headers": {"X-Secret": secret}});
        definition(json!({"steps": {"a": {"upstream": "p", "post": "/a", "body": {}, "headers": headers, "undo": undo}}}))
            .expect("a definition")
    };
    let (one, other) = (with("first-4711"), with("second-4712"));

    assert!(!one.text.contains("first-4711") && one.text.contains("plain"), "{}", one.text);
    assert_eq!(one.hash, other.hash);
    let read = Definition::read(one.text.clone()).expect("a definition");
    let hash = Hash::of(&[]);
    let record = Record::begin(String::new(), hash, hash, hash, String::new(), Millis(1));
    for send in [Send::Step(0), Send::Undo(0)] {
        let prepared = read.prepare(send, Id::fresh(), &record).expect("it is ready");
        assert_eq!(prepared.apart, [HeaderName::from_static("x-secret")]);
        assert!(!prepared.fields.contains_key("x-secret"));
    }
    let refers = with("{header.X-Token}");
    assert!(refers.text.contains("{header.X-Token}") && refers.hash != one.hash);
}

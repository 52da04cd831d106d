//! What operators see of what is in a real journal, and what they are refused.

use bytes::Bytes;

use super::super::machine::Stuck;
use super::super::record::{Act, Answer, Body, Failure};
use super::trial::{Runner, moved};
use super::*;
use crate::status::{SagaStep, SagaUndo};

fn steps(told: &SagaStatus) -> Vec<(SagaStep, Option<SagaUndo>)> {
    told.steps.iter().map(|step| (step.came_to, step.undo)).collect()
}

/// A number that is not part of another one by chance.
const AMOUNT: &str = "7340199918273";

/// What it is, how it comes to be so, and what its three steps and their undos came to.
type Case = (&'static str, Box<dyn FnOnce(&mut Record) + Send>, [(SagaStep, Option<SagaUndo>); 3]);

#[tokio::test]
async fn what_each_step_and_undo_came_to_follows_from_the_state() {
    use SagaStep::{Done, Failed, NeverMade, Running, Unknown, Waiting};
    let runner = Runner::new("steps");
    let failed = |record: &mut Record, step| record.failure = Some(Failure { step, why: "status 409".to_owned() });
    let taken_back = Some(SagaUndo::Done);

    let cases: [Case; 11] = [
        ("begun", Box::new(|_| {}), [(Running, None), (Waiting, None), (Waiting, None)]),
        ("charge is next", Box::new(|record| moved(record, &[State::Running(1)])), [(Done, None), (Running, None), (Waiting, None)]),
        ("done", Box::new(|record| moved(record, &[State::Done])), [(Done, None), (Done, None), (Done, None)]),
        (
            "charge was refused, reserve is being taken back",
            Box::new(move |record| {
                failed(record, 1);
                moved(record, &[State::Undoing(0)]);
            }),
            [(Done, Some(SagaUndo::Running)), (Failed, None), (NeverMade, None)],
        ),
        (
            "charge is unknown and was taken back, reserve cannot be",
            Box::new(move |record| {
                failed(record, 1);
                moved(record, &[State::Undoing(1), State::Undoing(0), State::Stuck(Stuck::Undo(0))]);
            }),
            [(Done, Some(SagaUndo::Stuck)), (Unknown, taken_back), (NeverMade, None)],
        ),
        (
            "the order was refused, both are taken back",
            Box::new(move |record| {
                failed(record, 2);
                moved(record, &[State::Undoing(1), State::Undoing(0), State::Undone]);
            }),
            [(Done, taken_back), (Done, taken_back), (Failed, None)],
        ),
        (
            "the first was refused",
            Box::new(move |record| {
                failed(record, 0);
                moved(record, &[State::Undone]);
            }),
            [(Failed, None), (NeverMade, None), (NeverMade, None)],
        ),
        (
            "whether there is an order is not known",
            Box::new(|record| moved(record, &[State::Running(2), State::Stuck(Stuck::Pivot(2))])),
            [(Done, None), (Done, None), (Unknown, None)],
        ),
        (
            "the same, given up",
            Box::new(|record| {
                moved(record, &[State::Running(2), State::Stuck(Stuck::Pivot(2))]);
                let was = Some(record.state);
                record.acted(Act { at: Millis::now(), who: "me".to_owned(), what: "abandon".to_owned(), note: None, was });
                moved(record, &[State::Abandoned]);
            }),
            [(Done, None), (Done, None), (Unknown, None)],
        ),
        (
            "the upstream of charge was gone, and it was given up",
            Box::new(|record| {
                moved(record, &[State::Running(1), State::Stuck(Stuck::Upstream { step: 1, undoing: false })]);
                let was = Some(record.state);
                record.acted(Act { at: Millis::now(), who: "me".to_owned(), what: "abandon".to_owned(), note: None, was });
                moved(record, &[State::Abandoned]);
            }),
            [(Done, None), (Unknown, None), (NeverMade, None)],
        ),
        (
            "whether there is an order is not known, and what was done for it is taken back",
            Box::new(move |record| {
                moved(record, &[State::Running(2), State::Stuck(Stuck::Pivot(2))]);
                failed(record, 2);
                record.left.insert(2);
                moved(record, &[State::Undoing(1), State::Undoing(0)]);
            }),
            [(Done, Some(SagaUndo::Running)), (Done, taken_back), (Unknown, Some(SagaUndo::Stays))],
        ),
    ];
    for (number, (name, made, wanted)) in cases.into_iter().enumerate() {
        let id = runner.put(number as u128 + 1, made).await;

        assert_eq!(steps(&runner.shown(id).await), wanted, "{name}");
    }
}

#[tokio::test]
async fn values_are_told_by_their_pseudonyms_and_what_is_called_like_a_secret_not_at_all() {
    let runner = Runner::new("masked");
    let id = runner
        .put(1, |record| {
            record.facts.insert("claim.sub".to_owned(), "\"user-of-nobody-else\"".to_owned());
            record.facts.insert("header.authorization".to_owned(), "\"Bearer a-bearers-token\"".to_owned());
            record.facts.insert("cookie.basket".to_owned(), "\"basket-of-nobody-else\"".to_owned());
            record.answers.entry(0).or_default().insert("total".to_owned(), AMOUNT.to_owned());
            record.answers.entry(0).or_default().insert("card.token".to_owned(), "\"tok_visa\"".to_owned());
            record.body =
                Some(Body { content_type: None, content_encoding: None, bytes: Bytes::from_static(b"{\"iban\":\"iban-of-nobody-else\"}") });
            let body = Bytes::from_static(b"{\"order\":\"order-of-nobody-else\"}");
            record.answer = Some(Answer { status: 200, content_type: "application/json".to_owned(), retry_after: None, body });
            moved(record, &[State::Done]);
        })
        .await;

    let told = runner.shown(id).await;

    let names = Pseudonyms::of_this_process();
    let name = |value: &str| String::from(names.of(value));
    assert_eq!((&told.facts["claim.sub"], &told.steps[0].values["total"]), (&name("user-of-nobody-else"), &name(AMOUNT)));
    for hidden in [&told.facts["header.authorization"], &told.facts["cookie.basket"], &told.steps[0].values["card.token"]] {
        assert_eq!(hidden, "***");
    }
    assert_eq!((told.body_bytes, told.answer.as_ref().map(|answer| (answer.status, answer.bytes))), (Some(30), Some((200, 32))));
    let wire = serde_json::to_string(&told).expect("JSON");
    for secret in ["user-of-nobody-else", "a-bearers-token", "basket-of-nobody-else", AMOUNT, "tok_visa", "iban", "order-of-nobody-else"] {
        assert!(!wire.contains(secret), "{secret}: {wire}");
    }
}

#[tokio::test]
async fn a_list_is_of_what_is_open_unless_another_state_is_asked_for() {
    let runner = Runner::new("list");
    runner.put(1, |_| {}).await;
    let stuck = runner.put(2, |record| moved(record, &[State::Running(2), State::Stuck(Stuck::Pivot(2))])).await;
    runner.put(3, |record| moved(record, &[State::Done])).await;
    let undoing = runner
        .put(4, |record| {
            record.route = "refund".to_owned();
            record.begun = Millis::now();
            moved(record, &[State::Undoing(0)]);
        })
        .await;
    let ids = |numbers: &[u128]| numbers.iter().map(|number| Id(*number).to_string()).collect::<Vec<_>>();

    let wanted = |state: Option<SagaState>, route: Option<&str>, older: Option<u64>| Wanted {
        state,
        route: route.map(str::to_owned),
        older: older.map(Duration::from_secs),
    };

    for (asked, found) in [
        (wanted(None, None, None), &[1, 4, 2][..]),
        (wanted(Some(SagaState::Done), None, None), &[3]),
        (wanted(Some(SagaState::Abandoned), None, None), &[]),
        (wanted(None, Some("refund"), None), &[4]),
        (wanted(None, None, Some(30)), &[1, 2]),
        (wanted(None, None, Some(3600)), &[]),
    ] {
        assert_eq!(runner.listed(asked.clone()).await, ids(found), "{asked:?}");
    }
    let next = Some(Millis(Millis::now().0 + 60_000));
    runner.live.lock().insert(undoing, Live { attempts: 3, next, trouble: Some("status 503".to_owned()) });
    let all = list(&*runner, &Wanted::default()).await.expect("a list");
    let undoing = &all.sagas[1];
    assert_eq!(
        (undoing.step.as_deref(), undoing.attempts, undoing.trouble.as_deref()),
        (Some("reserve/undo"), Some(3), Some("status 503"))
    );
    assert!(undoing.next_attempt_ms.is_some_and(|millis| (1..=60_000).contains(&millis)), "{undoing:?}");
    let is_stuck = &all.sagas[2];
    assert_eq!((&is_stuck.id, is_stuck.step.as_deref()), (&stuck.to_string(), Some("confirm")));
    assert_eq!(is_stuck.trouble.as_deref(), Some("whether the last step has happened is not known"));
}

#[tokio::test]
async fn of_more_than_a_list_holds_it_is_told_how_many_there_are() {
    let runner = Runner::new("more");
    let puts = (1..=MOST_LISTED as u128 + 7).map(|number| {
        let runner = runner.clone();
        tokio::spawn(async move { runner.put(number, |_| {}).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("it is put");
    }

    let told = list(&*runner, &Wanted::default()).await.expect("a list");

    assert_eq!((told.sagas.len(), told.more, told.complete), (MOST_LISTED, 7, true));
}

#[tokio::test]
async fn an_id_may_be_shortened_to_what_only_one_begins_with() {
    let runner = Runner::new("short");
    let first = runner.put(0x0190_aaaa_0000_7000_8000_0000_0000_0001, |_| {}).await;
    runner.put(0x0190_aaab_0000_7000_8000_0000_0000_0002, |_| {}).await;
    let found = async |text: &str| match text.parse::<Shortened>() {
        Ok(wanted) => find(&*runner, &wanted).await,
        Err(why) => Err(why),
    };

    for text in ["0190aaaa", "0190aaaa-", "0190AAAA-00", "0190aaaa-0000-7000-8000-000000000001"] {
        assert_eq!(found(text).await, Ok(first), "{text}");
    }
    assert!(matches!(found("0190aaa").await, Err(Refused::Several(_, some)) if some.len() == 2));
    assert!(matches!(found("0190aaaa1").await, Err(Refused::Unknown(_))));
    for text in ["", "-", "0190xyz", "0190aaaa-0000-7000-8000-000000000001a", "../../etc"] {
        assert!(matches!(found(text).await, Err(Refused::NoId(_))), "{text}");
    }
}

#[tokio::test]
async fn an_order_is_for_one_state_and_what_was_done_is_written_down() {
    let runner = Runner::new("orders");
    let stuck = runner.put(1, |record| moved(record, &[State::Running(2), State::Stuck(Stuck::Pivot(2))])).await;
    let done = runner.put(2, |record| moved(record, &[State::Done])).await;
    let running = runner.put(3, |_| {}).await;
    let lost = runner.put(4, |record| moved(record, &[State::Undoing(1), State::Stuck(Stuck::Lost(1))])).await;
    let wanted = |id: Id| id.to_string().parse::<Shortened>().expect("an id");
    let abandon = Order::Abandon { note: "the order stands, by phone".to_owned() };

    let undo = |leave: &[&str]| Order::Undo { leave: leave.iter().map(|name| (*name).to_owned()).collect() };

    for (id, order, why) in [
        (done, &Order::Retry, "is done: retry is for one that is stuck."),
        (done, &abandon, "is done: abandon is for one that is stuck."),
        (running, &undo(&["confirm"]), "is running: undo is for one that is done."),
        (done, &undo(&[]), "is not taken back: its last step `confirm` has no undo"),
        (done, &undo(&["charge"]), "is not taken back: its last step `confirm` has no undo"),
        (done, &undo(&["confirn"]), "has no step `confirn` that could stay: these are `reserve`, `charge`, `confirm`."),
        (done, &undo(&["reserve", "charge", "confirm"]), "nothing would be taken back, for all that could be is to stay."),
        (stuck, &undo(&[]), "is stuck at `confirm`: only where `--leave confirm` says that this stays as it is"),
        (stuck, &undo(&["reserve"]), "is stuck at `confirm`: only where `--leave confirm` says that this stays as it is"),
        (lost, &undo(&["confirm"]), "has no step `confirm` that could stay: these are `reserve`, `charge`."),
        (lost, &undo(&["charge", "reserve"]), "for all that could be is to stay: `abandon` gives it up as it is."),
    ] {
        let refused = obey(&*runner, &wanted(id), order, "me").await.expect_err("it is refused").to_string();
        assert!(refused.contains(&id.to_string()) && refused.contains(why), "{order:?}: {refused}");
        assert_eq!(runner.shown(id).await.acts, [], "{order:?}");
    }
    let obeyed = obey(&*runner, &wanted(stuck), &Order::Retry, "me").await.expect("it is obeyed");
    assert_eq!((obeyed.what.as_str(), obeyed.state, obeyed.stays.len()), ("retry", SagaState::Running, 0));
    let obeyed = obey(&*runner, &wanted(done), &undo(&["confirm"]), "127.0.0.1:1 without a token").await.expect("it is obeyed");
    assert_eq!((obeyed.state, &*obeyed.stays), (SagaState::Undoing, &["confirm".to_owned()][..]));
    let obeyed = obey(&*runner, &wanted(lost), &undo(&["charge"]), "me").await.expect("it is obeyed");
    assert_eq!((obeyed.state, &*obeyed.stays), (SagaState::Undoing, &["charge".to_owned()][..]));
    // Whoever comes second is told what the first one has done.
    let refused = obey(&*runner, &wanted(done), &undo(&["confirm"]), "me").await.expect_err("it is refused").to_string();
    let after = format!("The saga `{done}` is undoing after undo by 127.0.0.1:1 without a token at 20");
    assert!(refused.starts_with(&after) && refused.ends_with(": undo is for one that is done."), "{refused}");

    let told = runner.shown(lost).await;
    let undos: Vec<_> = told.steps.iter().map(|step| step.undo).collect();
    assert_eq!(undos, [Some(SagaUndo::Running), Some(SagaUndo::Stays), None]);
    let told = runner.shown(done).await;
    let acts = told.acts.iter().map(|act| (&*act.who, &*act.what, act.note.as_deref())).collect::<Vec<_>>();
    assert_eq!(acts, [("127.0.0.1:1 without a token", "undo", Some("`confirm` stays as it is"))]);
    let undos = [SagaUndo::Waiting, SagaUndo::Running, SagaUndo::Stays].map(|undo| (SagaStep::Done, Some(undo)));
    assert_eq!(steps(&told), undos);
}

#[tokio::test]
async fn each_stuck_saga_is_told_with_all_ways_out_and_each_of_them_is_taken() {
    for (number, (why, step, order, words)) in [
        (Stuck::Pivot(2), "confirm", Some("undo"), ["answers again", "known not to have happened", "known to have happened"]),
        (Stuck::Undo(1), "charge", Some("undo"), ["its service is mended", "taken back by hand, or is to stay", "dealt with by hand"]),
        (Stuck::Lost(1), "charge", Some("undo"), ["say once more", "taken back by hand, or is to stay", "dealt with by hand"]),
        (
            Stuck::Upstream { step: 1, undoing: false },
            "charge",
            Some("undo"),
            ["has the upstream again", "known not to have happened", "dealt with by hand"],
        ),
        (
            Stuck::Upstream { step: 1, undoing: true },
            "charge",
            Some("undo"),
            ["has the upstream again", "is to stay", "dealt with by hand"],
        ),
        (Stuck::Undo(0), "reserve", None, ["its service is mended", "", "dealt with by hand"]),
        (Stuck::Upstream { step: 0, undoing: false }, "reserve", None, ["has the upstream again", "", "dealt with by hand"]),
    ]
    .into_iter()
    .enumerate()
    {
        let runner = Runner::new("ways");
        let mut taken = Vec::new();
        for (offset, way) in [Some("retry"), order, Some("abandon")].into_iter().enumerate() {
            let Some(way) = way else { continue };
            let id = runner.put(number as u128 * 10 + offset as u128 + 1, |record| moved(record, &[State::Stuck(why)])).await;
            let told = runner.shown(id).await;
            let found = told.ways.iter().find(|told| told.command.starts_with(&format!("frontgate saga {way} {id}"))).expect("a way");
            assert!(found.when.contains(words[offset]), "{why:?}: {found:?}");
            assert_eq!(told.ways.len(), if order.is_some() { 3 } else { 2 }, "{why:?}");
            let order = match way {
                "retry" => Order::Retry,
                "undo" => {
                    assert!(found.command.ends_with(&format!(" --leave {step}")), "{found:?}");
                    Order::Undo { leave: vec![step.to_owned()] }
                }
                _ => Order::Abandon { note: "by hand".to_owned() },
            };

            obey(&*runner, &id.to_string().parse().expect("an id"), &order, "me").await.expect("it is obeyed");

            taken.push(runner.shown(id).await);
        }
        assert!(taken.iter().all(|told| told.brief.state != SagaState::Stuck && told.ways.is_empty()), "{why:?}");
    }
}

#[tokio::test]
async fn what_open_sagas_may_have_to_ask_yet_is_known_by_their_routes() {
    let runner = Runner::new("needs");
    runner.put(1, |record| moved(record, &[State::Running(2)])).await;
    runner.put(2, |record| moved(record, &[State::Undoing(1)])).await;
    runner.put(3, |record| moved(record, &[State::Undoing(1), State::Stuck(Stuck::Undo(0))])).await;
    runner.put(4, |record| moved(record, &[State::Done])).await;
    let left = |record: &mut Record| {
        record.route = "refund".to_owned();
        record.left.insert(0);
        moved(record, &[State::Undoing(1)]);
    };
    runner.put(5, left).await;

    let needs = needs(&*runner).await.expect("they are read");

    let found: Vec<_> = needs.iter().map(|needs| (&*needs.route, needs.open, needs.upstreams.clone().into_iter().collect())).collect();
    let named = |upstreams: &[(&str, u64)]| upstreams.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
    let of_checkout = named(&[("of-charge-undo", 2), ("of-confirm", 1), ("of-reserve-undo", 3)]);
    assert_eq!(found, [("checkout", 3, of_checkout), ("refund", 1, named(&[("of-charge-undo", 1)]))]);
}

#[tokio::test]
async fn without_a_journal_that_can_be_used_nobody_is_told_anything_untrue() {
    let runner = Runner::new("closed");
    let id = runner.put(1, |_| {}).await;
    assert_eq!(journal(&*runner).0, SagaJournal::Open);

    runner.journal.close();

    let wanted: Shortened = id.to_string().parse().expect("an id");
    assert_eq!(list(&*runner, &Wanted::default()).await, Err(Refused::Unavailable));
    assert_eq!(obey(&*runner, &wanted, &Order::Retry, "me").await, Err(Refused::Unavailable));
    assert_eq!(journal(&*runner).0, SagaJournal::Closed);
}

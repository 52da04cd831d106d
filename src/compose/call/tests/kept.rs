//! What a circuit breaker keeps of calls' answers: only what was taken for a good one, and for nobody who would have been answered otherwise.

use super::*;

const CACHED: &str = "min_requests: 1000, fallback: [{cached: {max_age: 1h}}]";
const CACHED_PER_SESSION: &str = "min_requests: 1000, fallback: [{cached: {max_age: 1h, per: cookie.sid}}]";

/// What a call says itself, and what its client has said.
#[derive(Clone, Copy, Debug, Default)]
struct Says {
    client: &'static [(&'static str, &'static str)],
    own: &'static [(&'static str, &'static str)],
    body: &'static str,
}

impl Says {
    fn ready(self, snapshot: &Snapshot) -> Ready<'_> {
        let mut ready = Ready {
            name: "user",
            pool: &snapshot.pools["shop"],
            method: Method::GET,
            target: "/me".to_owned(),
            fields: HeaderMap::new(),
            body: (!self.body.is_empty()).then(|| Bytes::from_static(self.body.as_bytes())),
            timeout: Some(PATIENCE),
            most: 1 << 20,
            again: false,
        };
        for (name, value) in self.own {
            ready.fields.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        ready
    }

    /// Makes the call for a client that waits.
    async fn made(self, snapshot: &Arc<Snapshot>) -> Answered {
        let head = client(self.client);
        let maker = Maker::new(common_of(snapshot, &head, ROOM, ROOM), &head, None);
        maker.make(self.ready(snapshot)).await.expect("an answer")
    }

    /// Makes it, and takes the answer for a good one.
    async fn taken(self, snapshot: &Arc<Snapshot>) -> String {
        let answered = self.made(snapshot).await;
        answered.keeping.keep();
        format!("{} {}", answered.status.as_u16(), String::from_utf8_lossy(&answered.body.concat()))
    }
}

/// An endpoint that gives these answers, and then fails.
async fn endpoint(answers: Vec<Does>) -> Endpoint {
    Endpoint::new(move |number| answers.get(number).cloned().unwrap_or_else(|| answer("503 Oh\r\n", b"no"))).await
}

#[tokio::test]
async fn a_kept_answer_is_for_calls_that_say_the_same_alone() {
    let plain = Says { client: &[("Host", "shop.example")], ..Says::default() };
    for (what, alice, bob) in [
        ("a field", Says { own: &[("x-user", "alice")], ..plain }, Says { own: &[("x-user", "bob")], ..plain }),
        ("a field that is there or not", Says { own: &[("x-user", "alice")], ..plain }, plain),
        ("one value and its parts", Says { own: &[("x-a", "1"), ("x-b", "2")], ..plain }, Says { own: &[("x-a", "1x-b2")], ..plain }),
        ("its own host", Says { own: &[("host", "a.example")], ..plain }, Says { own: &[("host", "b.example")], ..plain }),
        ("a cookie", Says { own: &[("cookie", "sid=a")], ..plain }, Says { own: &[("cookie", "sid=b")], ..plain }),
        ("its body", Says { body: "{\"user\":\"alice\"}", ..plain }, Says { body: "{\"user\":\"bob\"}", ..plain }),
        ("its client's host", Says { client: &[("Host", "a.example")], ..plain }, Says { client: &[("Host", "b.example")], ..plain }),
    ] {
        let origin = endpoint(vec![ok("of alice")]).await;
        let snapshot = snapshot(&[&origin], "", CACHED);

        assert_eq!(alice.taken(&snapshot).await, "200 of alice", "{what}");
        assert_eq!(bob.taken(&snapshot).await, "503 no", "{what}");
        assert_eq!(alice.taken(&snapshot).await, "200 of alice", "{what}: it was kept");
    }
}

#[tokio::test]
async fn whose_answer_is_kept_is_a_fact_of_the_request_that_the_call_is_made_for() {
    let origin = endpoint(vec![ok("of alice")]).await;
    let snapshot = snapshot(&[&origin], "", CACHED_PER_SESSION);
    let alice = Says { client: &[("Cookie", "sid=a")], own: &[("authorization", "Bearer 1")], body: "" };
    let renewed = Says { own: &[("authorization", "Bearer 2")], ..alice };
    let (bob, nobody) = (Says { client: &[("Cookie", "sid=b")], ..alice }, Says { client: &[], ..alice });
    // Whoever writes it for the call has not written it for the client.
    let pretends = Says { own: &[("authorization", "Bearer 1"), ("cookie", "sid=a")], ..nobody };

    assert_eq!(alice.taken(&snapshot).await, "200 of alice");

    for other in [bob, nobody, pretends] {
        assert_eq!(other.taken(&snapshot).await, "503 no", "{other:?}");
    }
    let unattended = text(&common(&snapshot, ROOM, ROOM), alice.ready(&snapshot)).await;
    assert_eq!(unattended.as_deref(), Ok("503 no"));
    assert_eq!([alice.taken(&snapshot).await, renewed.taken(&snapshot).await], ["200 of alice", "200 of alice"]);
}

#[tokio::test]
async fn only_an_answer_that_was_taken_for_a_good_one_replaces_what_is_kept() {
    let empty = Does::Says(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    for bad in [ok("{\"half\":"), empty, answer("201 Oh\r\n", b"unexpected")] {
        let origin = endpoint(vec![ok("good"), bad.clone(), bad]).await;
        let snapshot = snapshot(&[&origin], "", CACHED);
        let says = Says::default();

        assert_eq!(says.taken(&snapshot).await, "200 good");
        drop(says.made(&snapshot).await);
        drop(says.made(&snapshot).await);

        assert_eq!(says.taken(&snapshot).await, "200 good");
        assert_eq!(origin.received().len(), 4, "each time the upstream is asked first");
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_replaces_the_one_before_whatever_it_is() {
    let empty = Does::Says(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    for (next, expected) in [(ok("newer"), "200 newer"), (empty, "204 ")] {
        let origin = endpoint(vec![ok("good"), next]).await;
        let snapshot = snapshot(&[&origin], "", CACHED);

        let taken = [Says::default().taken(&snapshot).await, Says::default().taken(&snapshot).await];

        assert_eq!(taken, ["200 good", expected]);
        assert_eq!(Says::default().taken(&snapshot).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_kept_that_varies_by_who_asks_or_that_the_client_forbids_to_keep() {
    let forbids = Says { client: &[("Cache-Control", "no-store")], ..Says::default() };
    for (says, head) in [
        (Says::default(), "200 OK\r\nvary: X-Real-IP\r\n"),
        (Says::default(), "200 OK\r\nvary: Accept, X-Forwarded-For\r\n"),
        (forbids, "200 OK\r\n"),
    ] {
        let origin = endpoint(vec![answer(head, b"of one"), answer(head, b"of one")]).await;
        let snapshot = snapshot(&[&origin], "", CACHED);

        assert_eq!([says.taken(&snapshot).await, says.taken(&snapshot).await], ["200 of one", "200 of one"], "{head}");

        assert_eq!(Says::default().taken(&snapshot).await, "503 no", "{head}");
    }
    let origin = endpoint(vec![answer("200 OK\r\nvary: Accept-Language\r\n", b"of all")]).await;
    let snapshot = snapshot(&[&origin], "", CACHED);
    assert_eq!(Says::default().taken(&snapshot).await, "200 of all");
    assert_eq!(Says::default().taken(&snapshot).await, "200 of all", "no call says which language it wants");
}

#[tokio::test]
async fn what_one_caller_does_not_have_ends_nobody_else_s_copy() {
    let origin = endpoint(vec![ok("of alice"), ok("of bob"), answer("404 Oh\r\n", b"gone")]).await;
    let snapshot = snapshot(&[&origin], "", CACHED);
    let [alice, bob] = [&[("x-user", "alice")], &[("x-user", "bob")]].map(|own| Says { own, ..Says::default() });
    assert_eq!([alice.taken(&snapshot).await, bob.taken(&snapshot).await], ["200 of alice", "200 of bob"]);

    assert_eq!(bob.taken(&snapshot).await, "404 gone");

    assert_eq!([alice.taken(&snapshot).await, bob.taken(&snapshot).await], ["200 of alice", "503 no"]);
}

//! Three services that honour keys, and answer as a plan says: what they were asked, which effects stand, and who is told of a call before it has
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::compose::mock::answer;
use crate::harness::Origin;
use crate::harness::origin::Request;

/// What one attempt of a call does, by the words of the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Refuse,
    Error,
    ErrorDone,
    Lost,
    Slow,
    Down,
    Busy,
    Gone,
}

impl Outcome {
    pub fn of(word: &str) -> Self {
        match word {
            "ok" => Self::Ok,
            "refuse" => Self::Refuse,
            "error" => Self::Error,
            "error_done" => Self::ErrorDone,
            "lost" => Self::Lost,
            "slow" => Self::Slow,
            "down" => Self::Down,
            "busy" => Self::Busy,
            "gone" => Self::Gone,
            other => panic!("no outcome `{other}`"),
        }
    }

    fn takes_effect(self) -> bool {
        matches!(self, Self::Ok | Self::ErrorDone | Self::Lost | Self::Slow)
    }
}

/// Where a call is held until the test says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    BeforeEffect,
    AfterEffect,
    AfterAnswer,
}

/// At which call the test is told, and when.
#[derive(Clone, Debug)]
pub struct Stop {
    pub call: String,
    pub attempt: usize,
    pub when: When,
}

/// A call as it arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub key: String,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Kept {
    plan: BTreeMap<String, Vec<Outcome>>,
    attempts: BTreeMap<String, usize>,
    calls: Vec<Call>,
    /// By key of a step, what it was answered first.
    answers: BTreeMap<String, Value>,
    /// Which effects stand, by name of the step, and by keys.
    effects: BTreeMap<String, BTreeSet<String>>,
    stop: Option<Stop>,
}

/// Answers a request, and says whether the connection goes on.
type Behave = dyn Fn(&Request, &mut TcpStream) -> bool + Send + Sync;

/// Stock, payments and orders.
pub struct Services {
    kept: Arc<Mutex<Kept>>,
    addresses: [SocketAddr; 3],
    running: Mutex<Vec<Option<Origin>>>,
    stopped: Mutex<Receiver<()>>,
    /// The call that is held goes on, or is dropped.
    on: Sender<()>,
    behave: Arc<Behave>,
}

/// What everything costs: a number that is not part of another one by chance.
pub const TOTAL: u64 = 7_340_199_918_273;

pub const STEPS: [&str; 3] = ["reserve", "charge", "confirm"];

/// Addresses that nobody else listens on, so that one where nobody does is not somebody else's a moment later.
static NEXT: AtomicU16 = AtomicU16::new(1);

fn own_address() -> SocketAddr {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let host = [127, 77, (number >> 8) as u8, (number & 0xff) as u8];
        // The port of a listener that was there for a moment.
        if let Ok(listener) = TcpListener::bind((std::net::Ipv4Addr::from(host), 0)) {
            return listener.local_addr().unwrap();
        }
    }
}

impl Services {
    /// With a plan of outcomes by call, the last one for ever; `ok` where there is none.
    pub fn new(plan: &[(&str, &[Outcome])]) -> Self {
        let plan = plan.iter().map(|(call, outcomes)| ((*call).to_owned(), outcomes.to_vec())).collect();
        Self::planned(plan, None)
    }

    pub fn planned(plan: BTreeMap<String, Vec<Outcome>>, stop: Option<Stop>) -> Self {
        let (tell, stopped) = channel();
        let (on, go) = channel();
        let down: Vec<bool> = STEPS.iter().map(|step| plan.get(*step).is_some_and(|plan| plan[0] == Outcome::Down)).collect();
        // Who is not there is not asked: what arrives is the attempt after that.
        let arrives = |outcomes: Vec<Outcome>| {
            let there: Vec<Outcome> = outcomes.into_iter().filter(|outcome| *outcome != Outcome::Down).collect();
            if there.is_empty() { vec![Outcome::Ok] } else { there }
        };
        let plan = plan.into_iter().map(|(call, outcomes)| (call, arrives(outcomes))).collect();
        let kept = Arc::new(Mutex::new(Kept { plan, stop, ..Kept::default() }));
        let (ours, tell, go) = (kept.clone(), Mutex::new(tell), Mutex::new(go));
        let behave = Arc::new(move |request: &Request, stream: &mut TcpStream| serve(&ours, request, stream, &tell, &go));
        let addresses = [own_address(), own_address(), own_address()];
        let services = Self { kept, addresses, running: Mutex::new(vec![None, None, None]), stopped: Mutex::new(stopped), on, behave };
        for (index, down) in down.into_iter().enumerate() {
            if !down {
                services.raise(index);
            }
        }
        services
    }

    pub fn addresses(&self) -> [SocketAddr; 3] {
        self.addresses
    }

    /// From now on this service listens.
    pub fn raise(&self, index: usize) {
        let behave = self.behave.clone();
        let origin = Origin::on(self.addresses[index], move |request, stream| behave(request, stream));
        self.running.lock().unwrap()[index] = Some(origin);
    }

    /// Waits until a call is held where the plan says so.
    pub fn is_stopped(&self) -> bool {
        self.stopped.lock().unwrap().recv_timeout(Duration::from_secs(30)).is_ok()
    }

    /// Lets it go.
    pub fn go_on(&self) {
        let _ = self.on.send(());
    }

    /// Changes what a call does from now on.
    pub fn plans(&self, call: &str, outcomes: &[Outcome]) {
        let mut kept = self.kept.lock().unwrap();
        kept.plan.insert(call.to_owned(), outcomes.to_vec());
        kept.attempts.remove(call);
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.kept.lock().unwrap().calls.clone()
    }

    /// The calls in the order in which each was made first.
    pub fn order(&self) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        for call in self.calls() {
            if !order.contains(&call.name) {
                order.push(call.name);
            }
        }
        order
    }

    /// The steps whose effects stand, each as often as it does.
    pub fn effects(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        STEPS.iter().flat_map(|step| kept.effects.get(*step).into_iter().flatten().map(|_| (*step).to_owned())).collect()
    }
}

/// The call that a request is.
fn named(request: &Request) -> Option<(&'static str, bool)> {
    let mut words = request.line().split(' ');
    let (method, target) = (words.next()?, words.next()?);
    match (method, target) {
        ("POST", "/reservations") => Some(("reserve", false)),
        ("POST", "/charges") => Some(("charge", false)),
        ("POST", "/orders") => Some(("confirm", false)),
        ("DELETE", target) if target.starts_with("/reservations/by-key/") => Some(("reserve", true)),
        ("POST", target) if target.starts_with("/charges/by-key/") && target.ends_with("/refund") => Some(("charge", true)),
        _ => None,
    }
}

/// The key in the target of an undo.
fn undone_key(request: &Request) -> String {
    let target = request.line().split(' ').nth(1).unwrap_or_default();
    target.split("by-key/").nth(1).unwrap_or_default().trim_end_matches("/refund").to_owned()
}

fn serve(kept: &Mutex<Kept>, request: &Request, stream: &mut TcpStream, tell: &Mutex<Sender<()>>, go: &Mutex<Receiver<()>>) -> bool {
    let Some((step, is_undo)) = named(request) else { return answer(stream, 501, &json!({})) };
    let name = if is_undo { format!("{step}/undo") } else { step.to_owned() };
    let key = request.header("idempotency-key").first().copied().unwrap_or_default().to_owned();
    let hold = || {
        tell.lock().unwrap().send(()).unwrap();
        let _ = go.lock().unwrap().recv_timeout(Duration::from_secs(30));
    };
    let (outcome, stop) = {
        let mut kept = kept.lock().unwrap();
        kept.calls.push(Call { name: name.clone(), key: key.clone(), body: request.body.clone() });
        let attempt = kept.attempts.entry(name.clone()).or_insert(0);
        *attempt += 1;
        let attempt = *attempt;
        let outcome = kept.plan.get(&name).map_or(Outcome::Ok, |plan| plan[(attempt - 1).min(plan.len() - 1)]);
        let stop = kept.stop.clone().filter(|stop| stop.call == name && stop.attempt == attempt);
        (outcome, stop.map(|stop| stop.when))
    };
    if stop == Some(When::BeforeEffect) {
        hold();
        return false;
    }
    let first = {
        let mut kept = kept.lock().unwrap();
        // What is gone does not stand any more, whoever took it.
        if outcome.takes_effect() || outcome == Outcome::Gone && is_undo {
            match is_undo {
                true => drop(kept.effects.entry(step.to_owned()).or_default().remove(&undone_key(request))),
                // Whoever undid a step has its key no more: a step that comes after its undo would take effect once more.
                false => drop(kept.effects.entry(step.to_owned()).or_default().insert(key.clone())),
            }
        }
        let fresh = json!({"id": format!("{step}-{}", kept.answers.len() + 1), "total": TOTAL, "secret": "of the service"});
        kept.answers.entry(key).or_insert(fresh).clone()
    };
    if stop == Some(When::AfterEffect) {
        hold();
        return false;
    }
    let went_on = match outcome {
        Outcome::Ok | Outcome::Down => answer(stream, 201, &first),
        Outcome::Refuse => answer(stream, 409, &json!({"error": "out of stock, says the service"})),
        Outcome::Error | Outcome::ErrorDone => answer(stream, 500, &json!({"error": "says the service"})),
        Outcome::Lost => false,
        Outcome::Slow => {
            // Longer than the step waits for it: who has given up has closed the connection.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
            let _ = std::io::Read::read(stream, &mut [0]);
            answer(stream, 201, &first);
            false
        }
        Outcome::Busy => stream.write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n").is_ok(),
        Outcome::Gone => answer(stream, 404, &json!({})),
    };
    if stop == Some(When::AfterAnswer) {
        hold();
    }
    went_on
}

//! The listeners that are open, the sockets behind them, and the threads that accept there: opened, changed and closed as configurations say.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frontgate_filters::words::spanned::Spanned;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::config::model::Listener;
use crate::door::tls::Kept;
use crate::door::{Bound, Entrance, Inherited, Listening, Role, cannot};
use crate::telemetry::Metrics;

/// How long an address may still be taken that was given up a moment ago: until who had begun to connect there is let in.
const GIVEN_UP: Duration = Duration::from_secs(1);
/// How often one looks whether it is free.
const LOOK: Duration = Duration::from_millis(10);

/// All listeners of a gateway.
#[derive(Default)]
pub(crate) struct Entrances(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// In the configuration's order.
    open: Vec<Open>,
    /// Those of operators, who keep theirs for as long as the process runs.
    operators: Vec<(Role, SocketAddr, Bound)>,
    workers: Vec<UnboundedSender<Order>>,
    /// What was given up of late, and when.
    given_up: Vec<(SocketAddr, Instant)>,
    /// Whether all of them are closed for good.
    is_over: bool,
}

struct Open {
    entrance: Arc<Entrance>,
    bound: Bound,
}

/// What a worker thread is told.
pub(crate) enum Order {
    /// To accept here.
    Accept(Arc<Entrance>, Bound),
    /// To let go of this: whoever gave it knows then that the thread turns.
    Turn(Arc<()>),
    /// That no other listener comes.
    Last,
}

/// What has to be done for a configuration's listeners, with everything that it takes.
pub(crate) struct Plan(Vec<Step>);

enum Step {
    Keep(Arc<Entrance>),
    Open { bound: Bound, shares: Vec<Bound> },
}

/// A socket as another process takes it over.
pub(crate) struct Passed {
    /// What it is for.
    pub role: Role,
    /// Its address in the configuration.
    pub configured: SocketAddr,
    /// The socket.
    pub bound: Bound,
}

impl Entrances {
    /// One more worker thread, which accepts where it is told to.
    pub(crate) fn hire(&self) -> UnboundedReceiver<Order> {
        let (orders, taken) = unbounded_channel();
        self.0.lock().workers.push(orders);
        taken
    }

    /// What these listeners take: a socket for each that is not open. All or nothing; the inherited ones come first.
    pub(crate) fn plan(&self, listeners: &[Spanned<Listener>], inherited: &mut Inherited) -> Result<Plan, String> {
        let (mut open, threads) = {
            let inner = self.0.lock();
            (inner.open.iter().map(|open| Some(open.entrance.clone())).collect::<Vec<_>>(), inner.workers.len())
        };
        let mut steps = Vec::new();
        for listener in listeners {
            let address = listener.address;
            let same = open.iter_mut().find(|open| open.as_ref().is_some_and(|entrance| entrance.address == address));
            if let Some(entrance) = same.and_then(Option::take) {
                steps.push(Step::Keep(entrance));
                continue;
            }
            let bound = match inherited.take(Role::Listener, listener.name.as_ref().map(|name| name.as_str()), address) {
                Some(bound) => bound,
                None => self.bind(address)?,
            };
            let shares = (0..threads).map(|_| bound.share()).collect::<Result<_, _>>()?;
            steps.push(Step::Open { bound, shares });
        }
        Ok(Plan(steps))
    }

    /// Takes an address, also one that was given up a moment ago.
    fn bind(&self, address: SocketAddr) -> Result<Bound, String> {
        loop {
            let error = match Bound::listen(address) {
                Ok(bound) => return Ok(bound),
                Err(error) => error,
            };
            let inner = self.0.lock();
            let is_ending = inner.given_up.iter().any(|(other, since)| other.port() == address.port() && since.elapsed() < GIVEN_UP);
            if error.kind() == ErrorKind::AddrInUse && is_ending {
                drop(inner);
                std::thread::sleep(LOOK);
                continue;
            }
            let own = inner.open.iter().find(|open| open.bound.address.port() == address.port() && open.entrance.address != address);
            return Err(match own.filter(|_| error.kind() == ErrorKind::AddrInUse) {
                Some(own) => format!(
                    "{}: the listener {} has the port; where one takes the other's place, remove it in a reload of its own",
                    cannot(address, &error),
                    own.entrance.address
                ),
                None => cannot(address, &error),
            });
        }
    }

    /// Does what was planned for these listeners, with these certificates.
    pub(crate) fn open(&self, plan: Plan, listeners: &[Spanned<Listener>], certificates: &[Option<Arc<Kept>>], metrics: &Metrics) {
        let mut inner = self.0.lock();
        let mut before = std::mem::take(&mut inner.open);
        let is_first = before.is_empty();
        for (step, (listener, kept)) in plan.0.into_iter().zip(listeners.iter().zip(certificates)) {
            match step {
                Step::Keep(entrance) => {
                    let Some(index) = before.iter().position(|open| Arc::ptr_eq(&open.entrance, &entrance)) else { continue };
                    if entrance.change(listener, kept.clone()) {
                        log::info!("{}: what is spoken there has changed: connections end after their requests", entrance.address);
                    }
                    let open = before.remove(index);
                    inner.open.push(open);
                }
                Step::Open { .. } if inner.is_over => {}
                Step::Open { bound, shares } => {
                    let entrance = Arc::new(Entrance::new(listener, kept.clone(), metrics.listener(&listener.address.to_string())));
                    for (worker, share) in inner.workers.iter().zip(shares) {
                        // A thread that is gone has had its end.
                        let _ = worker.send(Order::Accept(entrance.clone(), share));
                    }
                    if !is_first {
                        log::info!("listening on {}", bound.address);
                    }
                    inner.open.push(Open { entrance, bound });
                }
            }
        }
        let now = Instant::now();
        inner.given_up.retain(|(_, since)| now.duration_since(*since) < GIVEN_UP);
        for gone in before {
            log::info!("no longer listening on {}: connections end after their requests", gone.bound.address);
            gone.entrance.close(how(&gone.bound, Listening::Ends));
            inner.given_up.push((gone.bound.address, now));
        }
    }

    /// Keeps a socket of operators, for another process to take over.
    pub(crate) fn keep(&self, role: Role, configured: SocketAddr, bound: Bound) {
        self.0.lock().operators.push((role, configured, bound));
    }

    /// Closes all of them for good, and tells the threads that no other comes.
    pub(crate) fn close(&self, listening: Listening) {
        let mut inner = self.0.lock();
        inner.is_over = true;
        inner.operators.clear();
        for open in inner.open.drain(..) {
            open.entrance.close(how(&open.bound, listening));
        }
        for worker in &inner.workers {
            let _ = worker.send(Order::Last);
        }
    }

    /// Where clients connect, in the configuration's order, with the ports that were taken for 0.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.lock().open.iter().map(|open| open.bound.address).collect()
    }

    /// All sockets, for another process.
    pub(crate) fn pass(&self) -> Result<Vec<Passed>, String> {
        let inner = self.0.lock();
        let listeners = inner.open.iter().map(|open| (Role::Listener, open.entrance.address, &open.bound));
        let operators = inner.operators.iter().map(|(role, configured, bound)| (*role, *configured, bound));
        listeners.chain(operators).map(|(role, configured, bound)| Ok(Passed { role, configured, bound: bound.share()? })).collect()
    }

    /// Asks every worker thread to let go of what is given back here; how many there are is one more than those that have not.
    pub(crate) fn ask_to_turn(&self) -> Arc<()> {
        let token = Arc::new(());
        for worker in &self.0.lock().workers {
            let _ = worker.send(Order::Turn(token.clone()));
        }
        token
    }
}

/// How a socket is given up: one that somebody else keeps is not closed for those who wait there.
fn how(bound: &Bound, listening: Listening) -> Listening {
    if bound.is_shared { Listening::Left } else { listening }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_turn_lets_go_of_nothing() {
        let entrances = Entrances::default();
        let (mut turns, _stands) = (entrances.hire(), entrances.hire());

        let token = entrances.ask_to_turn();
        assert_eq!(Arc::strong_count(&token), 3);
        assert!(matches!(turns.try_recv(), Ok(Order::Turn(_))));

        assert_eq!(Arc::strong_count(&token), 2, "the other one stands still");
    }

    #[test]
    fn what_is_closed_for_good_opens_nothing_any_more() {
        let text = "version: 1\nserver: {listeners: [{address: 127.0.0.1:0}]}\nroutes: [{name: a, path: /a, respond: {}}]\n";
        let loaded = crate::config::load_text("a.yaml", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let listeners = &loaded.config.server.listeners;
        let (entrances, metrics) = (Entrances::default(), Metrics::new());
        let mut orders = entrances.hire();
        let plan = |entrances: &Entrances| entrances.plan(listeners, &mut Inherited::default()).expect("a free port");
        entrances.open(plan(&entrances), listeners, &[None], &metrics);
        let Ok(Order::Accept(entrance, bound)) = orders.try_recv() else { panic!("it is to be accepted on") };
        assert_eq!(entrances.addresses(), [bound.address]);
        assert_eq!(entrances.pass().map(|sockets| sockets.len()), Ok(1));
        let late = plan(&Entrances::default());

        entrances.close(Listening::Ends);
        entrances.open(late, listeners, &[None], &metrics);

        assert_eq!(*entrance.listening().borrow(), Listening::Ends);
        assert!(matches!(orders.try_recv(), Ok(Order::Last)) && orders.try_recv().is_err());
        assert!(entrances.addresses().is_empty());
    }
}

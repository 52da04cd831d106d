//! A drill under way: what it has drawn for a request, what of that is carried out, and how much of it there is just now.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use prometheus::IntGauge;

use super::chance;
use super::config::{At, Config};
use super::rule::{Act, Plan, Rules};
use crate::count::stripe::Counter;
use crate::filter::build::Build;
use crate::words::fnv::{BASIS, fnv1a};

/// What the requests of a drill share.
pub(super) struct Drill {
    pub rules: Rules,
    pub salt: u64,
    most_active: u32,
    active: Arc<Active>,
    injected: [Counter; Act::KINDS.len()],
    /// Whether an operator has stopped all drills.
    stopped: AtomicBool,
    /// Whether it has stopped by itself.
    tripped: AtomicBool,
}

/// How many requests are held just now.
#[derive(Debug)]
pub(super) struct Active {
    count: AtomicU32,
    gauge: IntGauge,
}

impl Drill {
    pub fn new(config: &Config, with: &Build<'_>, earlier: Option<&Self>) -> Self {
        let injected = with.metrics.counters("fault_injected_total", "Faults that drills have injected.", &["filter", "kind"]);
        let gauge = with.metrics.gauges("fault_active", "Requests that drills hold just now.", &["filter"]);
        let active = earlier.map(|earlier| earlier.active.clone());
        Self {
            rules: Rules::new(config),
            salt: fnv1a(BASIS, with.name.as_bytes()),
            most_active: config.max_active.value,
            active: active.unwrap_or_else(|| Arc::new(Active { count: AtomicU32::new(0), gauge: gauge.with_label_values(&[with.name]) })),
            injected: Act::KINDS.map(|kind| injected.with_label_values(&[with.name, kind])),
            stopped: AtomicBool::new(earlier.is_some_and(Self::is_stopped)),
            tripped: AtomicBool::new(false),
        }
    }

    /// Whether it injects nothing, whatever the time.
    pub fn is_off(&self) -> bool {
        self.is_stopped() || self.has_tripped()
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    pub fn has_tripped(&self) -> bool {
        self.tripped.load(Ordering::Relaxed)
    }

    /// Stops it until the next reload; whether it was not so before.
    pub fn trip(&self) -> bool {
        !self.tripped.swap(true, Ordering::Relaxed)
    }

    pub fn active(&self) -> u32 {
        self.active.count.load(Ordering::Relaxed)
    }

    /// How many faults of each kind there were.
    pub fn injected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Act::KINDS.into_iter().zip(self.injected.iter().map(Counter::get))
    }

    pub fn count(&self, plan: Plan) {
        plan.kinds().for_each(|kind| self.injected[kind].inc());
    }

    /// A place among those that are held, where there is one.
    fn hold(&self) -> Option<Held> {
        let held = Held(self.active.clone());
        held.0.gauge.inc();
        // One more than there may be goes at once.
        (held.0.count.fetch_add(1, Ordering::Relaxed) < self.most_active).then_some(held)
    }
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drawn").field("at", &self.at).field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// A request that is held, until it is dropped.
#[derive(Debug)]
pub struct Held(Arc<Active>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}

/// What a drill has drawn for a request.
pub struct Drawn {
    drill: Arc<Drill>,
    at: At,
    /// What happens to the request, or to its first attempt.
    plan: Plan,
    /// Whether the same happens to each further attempt, in place of what chance decides for it.
    is_fixed: bool,
    is_call: bool,
    /// The last fault that was carried out, one more than its place among the kinds; 0 where the last attempt met none.
    last: AtomicU8,
    /// Which sorts were ever carried out, a bit each.
    ever: AtomicU8,
}

const DELAYED: u8 = 1;
const OTHERWISE: u8 = 2;

/// What a log says of a request that met a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It was delayed, and nothing else.
    Delay,
    /// Something else.
    Fault,
}

/// What is to be carried out.
#[derive(Debug)]
pub struct Dealt {
    /// What it is.
    pub plan: Plan,
    /// Its place among those that are held, where it is: to be kept for as long.
    pub held: Option<Held>,
}

impl Drawn {
    pub(super) fn new(drill: &Arc<Drill>, at: At, plan: Plan, is_fixed: bool, is_call: bool) -> Self {
        Self { drill: drill.clone(), at, plan, is_fixed, is_call, last: AtomicU8::new(0), ever: AtomicU8::new(0) }
    }

    /// Where it happens.
    pub fn at(&self) -> At {
        self.at
    }

    /// What happens to the request, or to its first attempt.
    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    /// What happens to it that is no delay.
    pub(super) fn act(&self) -> Option<Act> {
        self.plan.act
    }

    /// What happens to the attempt of this number, from 1 on. Asked once for each, since chance decides anew and what is dealt is counted.
    pub fn deal(&self, attempt: u32) -> Option<Dealt> {
        let mut plan = match attempt {
            _ if self.drill.is_off() => Plan::default(),
            1 => self.plan,
            _ if self.is_fixed => self.plan,
            _ => self.drill.rules.plan(chance::point(), self.at, self.is_call),
        };
        let held = plan.delay.and_then(|_| self.drill.hold());
        if held.is_none() {
            plan.delay = None;
        }
        self.drill.count(plan);
        self.last.store(plan.kinds().last().map_or(0, |kind| kind as u8 + 1), Ordering::Relaxed);
        let sorts = if plan.delay.is_some() { DELAYED } else { 0 } | if plan.act.is_some() { OTHERWISE } else { 0 };
        self.ever.fetch_or(sorts, Ordering::Relaxed);
        (!plan.is_none()).then_some(Dealt { plan, held })
    }

    /// What delays the answer on its way to the client, where that is what was drawn. Asked once.
    pub fn delays_client(&self) -> Option<Dealt> {
        if self.at == At::Client && self.plan.act.is_none() { self.deal(1) } else { None }
    }

    /// Somebody is asked whom the drill is not about.
    pub fn spares(&self) {
        self.last.store(0, Ordering::Relaxed);
    }

    /// The kind of fault that the answer comes from; none where the last attempt met none.
    pub fn told(&self) -> Option<&'static str> {
        let last = usize::from(self.last.load(Ordering::Relaxed));
        Some(Act::KINDS[last.checked_sub(1)?])
    }

    /// Whether any fault was carried out, and of which sort.
    pub fn met(&self) -> Option<Met> {
        match self.ever.load(Ordering::Relaxed) {
            0 => None,
            DELAYED => Some(Met::Delay),
            _ => Some(Met::Fault),
        }
    }
}

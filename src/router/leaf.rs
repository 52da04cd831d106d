//! What one host and path hold: which route takes which method of which requests, and the text of `Allow` for all other methods.

use frontgate_filters::words::matching::Match;
use http::Method;

use super::Found;

/// One route's wish for methods, and for facts that its requests have.
pub(super) struct Claim<'a> {
    pub(super) route: usize,
    pub(super) methods: Option<Vec<Method>>,
    pub(super) when: Option<&'a Match>,
}

impl Claim<'_> {
    /// Whether both take the same requests, but for their methods.
    fn is_like(&self, other: &Self) -> bool {
        match (self.when, other.when) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same_as(other),
            _ => false,
        }
    }
}

/// The routes that share exactly one host and path.
pub(super) struct Leaf {
    /// Inline, because nearly every leaf has one route.
    first: Share,
    more: Box<[Share]>,
    /// Methods beyond those of RFC 9110 and RFC 5789, with their routes.
    extensions: Box<[(Method, usize)]>,
    allow: Box<str>,
}

/// A route and the methods it takes, a bit each; no two shares that ask for the same facts have one in common.
#[derive(Clone, Copy, Default)]
struct Share {
    methods: u16,
    /// Whether it takes only requests that have certain facts.
    asks: bool,
    route: u32,
}

const STANDARD: [Method; 7] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
const GET: u16 = 1 << 0;
const HEAD: u16 = 1 << 1;
/// TRACE and CONNECT, which no route takes: the one shows what proxies have added, the other asks for a tunnel.
const NEVER: u16 = 1 << 7 | 1 << 8;
/// Every method that no route names.
const OTHER: u16 = 1 << 15;

impl Leaf {
    /// Among routes that ask for the same facts, a method that a route names is that route's; what GET implies and what omitted methods take
    /// comes after.
    pub(super) fn compile(claims: &[Claim<'_>]) -> Self {
        let named = |claim: &Claim<'_>| claim.methods.iter().flatten().map(bit).fold(0, |all, bit| all | bit) & !(OTHER | NEVER);
        // What is taken so far, kept with the first of those that are alike.
        let first_alike = |claim: &Claim<'_>| claims.iter().position(|other| claim.is_like(other)).unwrap_or_default();
        let alike: Vec<usize> = claims.iter().map(first_alike).collect();
        let mut taken = vec![0; claims.len()];
        for (claim, alike) in claims.iter().zip(&alike) {
            taken[*alike] |= named(claim);
        }
        let mut shares: Vec<Share> = Vec::with_capacity(claims.len());
        for (claim, alike) in claims.iter().zip(&alike) {
            let implied = if named(claim) & GET != 0 { HEAD & !taken[*alike] } else { 0 };
            taken[*alike] |= implied;
            let route = u32::try_from(claim.route).expect("fewer than four billion routes");
            shares.push(Share { methods: named(claim) | implied, asks: claim.when.is_some(), route });
        }
        for ((share, alike), _) in shares.iter_mut().zip(&alike).zip(claims).filter(|(_, claim)| claim.methods.is_none()) {
            share.methods = !(taken[*alike] | NEVER);
            taken[*alike] |= !NEVER;
        }
        let all = taken.into_iter().fold(0, |all, methods| all | methods);
        let extensions: Box<[_]> = (claims.iter())
            .flat_map(|claim| claim.methods.iter().flatten().map(|method| (method.clone(), claim.route)))
            .filter(|(method, _)| bit(method) == OTHER)
            .collect();
        let mut allow: Vec<_> = STANDARD.iter().filter(|method| all & bit(method) != 0).map(Method::as_str).collect();
        for (method, _) in &extensions {
            if !allow.contains(&method.as_str()) {
                allow.push(method.as_str());
            }
        }
        let allow = allow.join(", ").into();
        let mut shares = shares.into_iter();
        Self { first: shares.next().unwrap_or_default(), more: shares.collect(), extensions, allow }
    }

    /// The first route that takes this method and has no wish which the request does not fulfil.
    pub(super) fn find(&self, method: &Method, holds: &mut dyn FnMut(usize) -> bool) -> Found<'_> {
        let bit = bit(method);
        let mut last = None;
        for share in self.shares().filter(|share| self.has(share, method, bit)) {
            let route = share.route as usize;
            if !share.asks || holds(route) {
                return Found::Route(route);
            }
            last = Some(route);
        }
        match last {
            Some(last) => Found::Unmet { last },
            None => Found::WrongMethod { allow: &self.allow },
        }
    }

    /// Whether this route of it takes this method.
    pub(super) fn takes(&self, route: usize, method: &Method) -> bool {
        self.shares().any(|share| share.route as usize == route && self.has(share, method, bit(method)))
    }

    /// Whether a route of it takes only requests that have certain facts.
    pub(super) fn asks(&self) -> bool {
        self.shares().any(|share| share.asks)
    }

    /// All its routes, in the order they were configured.
    pub(super) fn routes(&self) -> impl Iterator<Item = usize> {
        self.shares().map(|share| share.route as usize)
    }

    fn has(&self, share: &Share, method: &Method, bit: u16) -> bool {
        share.methods & bit != 0
            || bit == OTHER && self.extensions.iter().any(|(named, route)| *route == share.route as usize && named == method)
    }

    fn shares(&self) -> impl Iterator<Item = &Share> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

fn bit(method: &Method) -> u16 {
    match *method {
        Method::GET => GET,
        Method::HEAD => HEAD,
        Method::POST => 1 << 2,
        Method::PUT => 1 << 3,
        Method::PATCH => 1 << 4,
        Method::DELETE => 1 << 5,
        Method::OPTIONS => 1 << 6,
        Method::TRACE => 1 << 7,
        Method::CONNECT => 1 << 8,
        _ => OTHER,
    }
}

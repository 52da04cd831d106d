//! What one host and path hold: which route takes which method, and the text of `Allow` for all others.

use http::Method;

/// One route's wish for methods.
pub(super) struct Claim {
    pub(super) route: usize,
    pub(super) methods: Option<Vec<Method>>,
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

/// A route and the methods it takes, a bit each; no two shares of a leaf have one in common.
#[derive(Clone, Copy, Default)]
struct Share {
    methods: u16,
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
    /// A method that a route names is that route's; what GET implies and what omitted methods take comes after.
    pub(super) fn compile(claims: &[Claim]) -> Self {
        let named = |claim: &Claim| claim.methods.iter().flatten().map(bit).fold(0, |all, bit| all | bit) & !(OTHER | NEVER);
        let mut taken = claims.iter().map(named).fold(0, |all, methods| all | methods);
        let mut shares: Vec<Share> = Vec::with_capacity(claims.len());
        for claim in claims {
            let implied = if named(claim) & GET != 0 { HEAD & !taken } else { 0 };
            taken |= implied;
            let route = u32::try_from(claim.route).expect("fewer than four billion routes");
            shares.push(Share { methods: named(claim) | implied, route });
        }
        for (share, _) in shares.iter_mut().zip(claims).filter(|(_, claim)| claim.methods.is_none()) {
            share.methods = !(taken | NEVER);
            taken |= !NEVER;
        }
        let extensions: Box<[_]> = (claims.iter())
            .flat_map(|claim| claim.methods.iter().flatten().map(|method| (method.clone(), claim.route)))
            .filter(|(method, _)| bit(method) == OTHER)
            .collect();
        let standard = STANDARD.iter().filter(|method| taken & bit(method) != 0).map(Method::as_str);
        let allow: Vec<_> = standard.chain(extensions.iter().map(|(method, _)| method.as_str())).collect();
        let allow = allow.join(", ").into();
        let mut shares = shares.into_iter();
        Self { first: shares.next().unwrap_or_default(), more: shares.collect(), extensions, allow }
    }

    /// The route that takes this method.
    pub(super) fn route(&self, method: &Method) -> Option<usize> {
        let bit = bit(method);
        if bit == OTHER
            && let Some((_, route)) = self.extensions.iter().find(|(named, _)| named == method)
        {
            return Some(*route);
        }
        self.shares().find(|share| share.methods & bit != 0).map(|share| share.route as usize)
    }

    /// All its routes, in the order they were configured.
    pub(super) fn routes(&self) -> impl Iterator<Item = usize> {
        self.shares().map(|share| share.route as usize)
    }

    /// The value of `Allow`.
    pub(super) fn allow(&self) -> &str {
        &self.allow
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

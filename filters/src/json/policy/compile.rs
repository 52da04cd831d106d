//! Paths → states, by subset construction; two policies → the product of their states.

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, Path, Policy, PolicyError, Target};
use crate::json::bits::Prefilter;
use crate::json::path::Segment;
use crate::words::fnv;

/// The most states of one policy: a few `**` and `*` together can ask for exponentially many.
pub const MAX_NODES: usize = 4096;

/// The most names in all states together: bounds memory where many states share many names.
const MAX_NAMES: usize = 65_536;

/// A set of places in paths: (path, segments passed).
type Places = BTreeSet<(usize, usize)>;

pub(super) fn paths(paths: &[Path], keep: bool) -> Result<Policy, PolicyError> {
    let (found, lost) = if keep { (Target::KEEP, Target::DROP) } else { (Target::DROP, Target::KEEP) };
    let segments = |path: usize| paths[path].segments();

    // `**` may match nothing: a place before one is also a place behind it.
    let close = |mut places: Places| {
        let skipped: Vec<_> =
            places.iter().filter(|&&(path, at)| segments(path).get(at) == Some(&Segment::Deep)).map(|&(path, at)| (path, at + 1)).collect();
        places.extend(skipped);
        places
    };
    let step = |places: &Places, name: Option<&str>| {
        let moved = places.iter().filter_map(|&(path, at)| match segments(path).get(at)? {
            Segment::Deep => Some((path, at)),
            Segment::Any => Some((path, at + 1)),
            Segment::Name(own) => (Some(own.as_str()) == name).then_some((path, at + 1)),
        });
        close(moved.collect())
    };
    let ended = |places: &Places| places.iter().any(|&(path, at)| at == segments(path).len());

    let root: Places = close((0..paths.len()).map(|path| (path, 0)).collect());
    build(root, |places, target| {
        let mut towards = |next: Places| match next {
            next if ended(&next) => Ok(found),
            next if next.is_empty() => Ok(lost),
            next => target(next),
        };
        let names: BTreeSet<&str> = places
            .iter()
            .filter_map(|&(path, at)| match segments(path).get(at) {
                Some(Segment::Name(name)) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let default = towards(step(places, None))?;
        let names = names.into_iter().map(|name| Ok((name.to_owned(), towards(step(places, Some(name)))?))).collect::<Result<_, _>>()?;
        Ok(Draft { names, default, scalars: !keep })
    })
    .map(|nodes| finish(nodes, keep))
}

pub(super) fn intersection(left: &Policy, right: &Policy) -> Result<Policy, PolicyError> {
    let root = (Target(0), Target(0));
    build(root, |&(a, b), target| {
        let (a, b) = (a.node().map(|a| &left.nodes[a as usize]), b.node().map(|b| &right.nodes[b as usize]));
        let mut towards = |pair: (Target, Target)| match pair {
            (Target::DROP, _) | (_, Target::DROP) => Ok(Target::DROP),
            (Target::KEEP, Target::KEEP) => Ok(Target::KEEP),
            pair => target(pair),
        };
        let lookup = |node: Option<&Node>, name: &[u8]| node.map_or(Target::KEEP, |node| node.find(name));
        let default = |node: Option<&Node>| node.map_or(Target::KEEP, |node| node.default);
        let known: BTreeSet<&[u8]> = [a, b].into_iter().flatten().flat_map(|node| node.names.iter().map(|name| &*name.text)).collect();
        let names = known
            .into_iter()
            .map(|name| {
                let text = str::from_utf8(name).expect("names come from strings").to_owned();
                Ok((text, towards((lookup(a, name), lookup(b, name)))?))
            })
            .collect::<Result<_, _>>()?;
        Ok(Draft { names, default: towards((default(a), default(b)))?, scalars: [a, b].into_iter().flatten().all(|node| node.scalars) })
    })
    .map(|nodes| finish(nodes, left.hides || right.hides))
}

/// A state before its names are sorted by length.
struct Draft {
    names: BTreeMap<String, Target>,
    default: Target,
    scalars: bool,
}

/// Numbers the states that can be reached from `root`, the nearest first: equal policies get equal numbers.
fn build<S: Ord + Clone>(
    root: S,
    mut expand: impl FnMut(&S, &mut dyn FnMut(S) -> Result<Target, PolicyError>) -> Result<Draft, PolicyError>,
) -> Result<Vec<Node>, PolicyError> {
    let mut numbers = BTreeMap::from([(root.clone(), 0)]);
    let mut queue = vec![root];
    let mut nodes: Vec<Node> = Vec::new();
    let mut total = 0;
    while nodes.len() < queue.len() {
        let state = queue[nodes.len()].clone();
        let mut target = |state: S| {
            let next = queue.len() as u32;
            let number = *numbers.entry(state.clone()).or_insert(next);
            if number == next {
                if queue.len() == MAX_NODES {
                    return Err(PolicyError(format!("these paths together need more than {MAX_NODES} states: use fewer `*` and `**`")));
                }
                queue.push(state);
            }
            Ok(Target(number))
        };
        let draft = expand(&state, &mut target)?;
        let node = Node::new(draft.names, draft.default, draft.scalars);
        total += node.names.len();
        if total > MAX_NAMES {
            return Err(PolicyError(format!("these paths together need more than {MAX_NAMES} names: use fewer `*` and `**`")));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn finish(nodes: Vec<Node>, hides: bool) -> Policy {
    let drops = |node: &Node| !node.scalars || node.default == Target::DROP || node.names.iter().any(|name| name.target == Target::DROP);
    Policy {
        longest: nodes.iter().flat_map(|node| &node.names).map(|name| name.text.len()).max().unwrap_or(0),
        noop: !nodes.iter().any(drops),
        prefilter: if hides || !only_named_matter(&nodes) { None } else { prefilter(&nodes) },
        fingerprint: fingerprint(&nodes, hides),
        nodes,
        hides,
    }
}

/// Whether an unnamed member leads to where nothing is dropped, or to a state that all unnamed members share.
fn only_named_matter(nodes: &[Node]) -> bool {
    let shared = |node: &Node| match node.default.node() {
        None => node.default == Target::KEEP,
        Some(next) => nodes[next as usize].default.node() == Some(next),
    };
    nodes.iter().all(shared)
}

fn prefilter(nodes: &[Node]) -> Option<Prefilter> {
    let mut ends = BTreeSet::new();
    for name in nodes.iter().flat_map(|node| &node.names) {
        let (before, last) = match *name.text {
            // What goes before the quote of an empty key can be anything.
            [] => return None,
            [last] => (b'"', last),
            [.., before, last] => (before, last),
        };
        if !before.is_ascii() || !last.is_ascii() {
            return None;
        }
        ends.insert((before & 15, last & 15));
    }
    // A class takes all ends with the same half before, so that each class is exact until there are more than eight.
    let mut table = Prefilter { before: [0; 16], last: [0; 16] };
    let mut halves: Vec<u8> = ends.iter().map(|&(before, _)| before).collect();
    halves.dedup();
    for (before, last) in ends {
        let class = 1 << (halves.iter().position(|&half| half == before).unwrap_or_default() % 8);
        table.before[usize::from(before)] |= class;
        table.last[usize::from(last)] |= class;
    }
    Some(table)
}

/// A hash of the tables that is the same in every release: clients keep it in their entity tags.
fn fingerprint(nodes: &[Node], hides: bool) -> u64 {
    let mut hash = fnv::BASIS;
    let mut add = |bytes: &[u8]| hash = fnv::fnv1a(hash, bytes);
    add(&[1, u8::from(hides)]);
    for node in nodes {
        add(&(node.names.len() as u32).to_le_bytes());
        add(&node.default.0.to_le_bytes());
        add(&[u8::from(node.scalars)]);
        for name in &node.names {
            add(&(name.text.len() as u32).to_le_bytes());
            add(&name.text);
            add(&name.target.0.to_le_bytes());
        }
    }
    hash
}

//! What is done with a text while it is read: a policy, new names and marks, compiled to one automaton over names.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::json::path::{Path, Segment};
use crate::json::place::{Place, Step};
use crate::json::policy::{MAX_NODES, Node, Policy, PolicyError, Target};

/// Values whose places are to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Told with each value.
    pub number: u16,
    /// Which values.
    pub place: Place,
    /// Where such a value is an array, its elements are meant, however deep, and not the array.
    pub each: bool,
}

/// What is done with a text while it is read; compiled once, meant to be shared as `Arc<Plan>`.
#[derive(Debug)]
pub struct Plan {
    /// The first one is for the whole document.
    pub(super) stages: Vec<Stage>,
    /// New names as they stand between quotes.
    pub(in crate::json) names: Vec<Bytes>,
    /// The longest name that is looked for, in bytes.
    pub(super) longest: usize,
    /// There are marks.
    pub(super) marks: bool,
}

/// What is done with a value, and where its members or elements lead.
#[derive(Debug)]
pub(super) struct Stage {
    /// Members by name.
    pub(super) lookup: Node,
    /// Elements that lead elsewhere than the others.
    picked: Vec<(u32, Target)>,
    element: Target,
    /// Members of an object here must be looked at.
    pub(super) objects: bool,
    /// Elements of an array here must be looked at.
    pub(super) arrays: bool,
    /// The member's new name.
    pub(super) name: Option<u32>,
    /// Numbers of marks of the value.
    pub(super) whole: Vec<u16>,
    /// Numbers of marks of the value, if it is no array.
    pub(super) each: Vec<u16>,
}

impl Stage {
    /// Whether a scalar stays here.
    #[inline(always)]
    pub(super) fn scalars(&self) -> bool {
        self.lookup.scalars
    }

    /// Where the element of this index leads.
    #[inline(always)]
    pub(super) fn element(&self, index: u32) -> Target {
        if self.picked.is_empty() {
            return self.element;
        }
        self.picked.iter().find(|(picked, _)| *picked == index).map_or(self.element, |&(_, target)| target)
    }
}

impl Plan {
    /// What `policy` lets stay, with new names for some members, and marks on some values that stay.
    ///
    /// The last name of a path to be renamed must be written out. Paths and marks speak of the names in the text, not of new ones.
    pub fn new(policy: &Policy, renames: &[(Path, String)], marks: &[Mark]) -> Result<Self, PolicyError> {
        if let Some((path, _)) = renames.iter().find(|(path, _)| !matches!(path.segments().last(), Some(Segment::Name(_)))) {
            return Err(PolicyError(format!("`{path}` ends with a star, so that all its members would get one name")));
        }
        let places = renames.iter().map(|(path, _)| Place::from(path)).chain(marks.iter().map(|mark| mark.place.clone())).collect();
        let compiler = Compiler { policy, renames, marks, places };
        let stages = compiler.run()?;
        let inner = |name: &str| {
            let quoted = serde_json::to_string(name).map_err(|error| PolicyError(error.to_string()))?;
            Ok(Bytes::copy_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]))
        };
        Ok(Self {
            names: renames.iter().map(|(_, name)| inner(name)).collect::<Result<_, _>>()?,
            longest: stages.iter().flat_map(|stage| &stage.lookup.names).map(|name| name.text.len()).max().unwrap_or(0),
            stages,
            marks: !marks.is_empty(),
        })
    }
}

impl Default for Plan {
    /// All stays as it is.
    fn default() -> Self {
        let lookup = Node::new([], Target::KEEP, true);
        let stage = Stage {
            lookup,
            picked: Vec::new(),
            element: Target::KEEP,
            objects: false,
            arrays: false,
            name: None,
            whole: Vec::new(),
            each: Vec::new(),
        };
        Self { stages: vec![stage], names: Vec::new(), longest: 0, marks: false }
    }
}

/// A set of ways on: (path, steps passed).
type Ways = BTreeSet<(usize, usize)>;

/// What tells stages apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    policy: Target,
    ways: Ways,
    name: Option<u32>,
}

struct Compiler<'a> {
    policy: &'a Policy,
    renames: &'a [(Path, String)],
    marks: &'a [Mark],
    /// Of the renames, then of the marks.
    places: Vec<Place>,
}

impl Compiler<'_> {
    fn run(&self) -> Result<Vec<Stage>, PolicyError> {
        let policy = if self.policy.is_noop() { Target::KEEP } else { Target(0) };
        let root = Key { policy, ways: self.close((0..self.places.len()).map(|path| (path, 0)).collect()), name: None };
        let mut numbers = BTreeMap::from([(root.clone(), 0)]);
        let mut queue = vec![root];
        let mut stages = Vec::new();
        while stages.len() < queue.len() {
            let key = queue[stages.len()].clone();
            let mut number = |key: Key| {
                let next = queue.len() as u32;
                let number = *numbers.entry(key.clone()).or_insert(next);
                if number == next {
                    if queue.len() == MAX_NODES {
                        return Err(PolicyError(format!("these paths together need more than {MAX_NODES} states: use fewer `*` and `**`")));
                    }
                    queue.push(key);
                }
                Ok(Target(number))
            };
            stages.push(self.stage(&key, &mut number)?);
        }
        Ok(stages)
    }

    fn stage(&self, key: &Key, number: &mut dyn FnMut(Key) -> Result<Target, PolicyError>) -> Result<Stage, PolicyError> {
        let node = key.policy.node().map(|node| &self.policy.nodes[node as usize]);
        let mut names: BTreeSet<String> = key.ways.iter().filter_map(|&way| self.name(way)).map(str::to_owned).collect();
        for name in node.iter().flat_map(|node| &node.names) {
            names.insert(str::from_utf8(&name.text).expect("names come from strings").to_owned());
        }
        let member = |name: Option<&str>| match (node, name) {
            (None, _) => Target::KEEP,
            (Some(node), Some(name)) => node.find(name.as_bytes()),
            (Some(node), None) => node.default,
        };
        let default = self.arrive(member(None), self.by_name(&key.ways, None), number)?;
        let targets = names
            .into_iter()
            .map(|name| {
                let target = self.arrive(member(Some(&name)), self.by_name(&key.ways, Some(&name)), number)?;
                Ok((name, target))
            })
            .collect::<Result<Vec<_>, PolicyError>>()?;
        let indexes: BTreeSet<u32> = key.ways.iter().filter_map(|&way| self.index(way)).collect();
        let element = self.arrive(key.policy, self.by_index(&key.ways, None), number)?;
        let picked = indexes
            .into_iter()
            .map(|index| Ok((index, self.arrive(key.policy, self.by_index(&key.ways, Some(index)), number)?)))
            .collect::<Result<Vec<_>, PolicyError>>()?;
        let lookup = Node::new(targets, default, node.is_none_or(|node| node.scalars));
        let ended = |each: bool| {
            let marks = key.ways.iter().filter(|&&way| self.step(way).is_none()).map(|&(path, _)| &self.marks[path - self.renames.len()]);
            marks.filter(|mark| mark.each == each).map(|mark| mark.number).collect::<Vec<_>>()
        };
        Ok(Stage {
            objects: default != Target::KEEP || !lookup.names.is_empty(),
            arrays: element != Target::KEEP || picked.iter().any(|(_, target)| *target != Target::KEEP),
            picked,
            element,
            lookup,
            name: key.name,
            whole: ended(false),
            each: ended(true),
        })
    }

    /// Where a value leads for which the policy and the ways on are these.
    fn arrive(
        &self,
        policy: Target,
        mut ways: Ways,
        number: &mut dyn FnMut(Key) -> Result<Target, PolicyError>,
    ) -> Result<Target, PolicyError> {
        if policy == Target::DROP {
            return Ok(Target::DROP);
        }
        let renamed = |&(path, at): &(usize, usize)| path < self.renames.len() && self.step((path, at)).is_none();
        let names: BTreeSet<usize> = ways.iter().filter(|way| renamed(way)).map(|&(path, _)| path).collect();
        ways.retain(|way| !renamed(way));
        let mut names = names.into_iter();
        let name = names.next();
        if let (Some(one), Some(other)) = (name, names.find(|&other| Some(&self.renames[other].1) != name.map(|one| &self.renames[one].1)))
        {
            let ((one, new), (other, newer)) = (&self.renames[one], &self.renames[other]);
            return Err(PolicyError(format!("a member would become both `{new}` (by `{one}`) and `{newer}` (by `{other}`)")));
        }
        if policy == Target::KEEP && ways.is_empty() && name.is_none() {
            return Ok(Target::KEEP);
        }
        number(Key { policy, ways, name: name.map(|name| name as u32) })
    }

    fn step(&self, (path, at): (usize, usize)) -> Option<&Step> {
        self.places[path].steps().get(at)
    }

    fn name(&self, way: (usize, usize)) -> Option<&str> {
        match self.step(way)? {
            Step::Segment(Segment::Name(name)) => Some(name),
            _ => None,
        }
    }

    fn index(&self, way: (usize, usize)) -> Option<u32> {
        match self.step(way)? {
            Step::Element(index) => Some(*index),
            Step::Segment(_) => None,
        }
    }

    /// `**` may match nothing: a place before one is also a place behind it.
    fn close(&self, mut ways: Ways) -> Ways {
        let deep = |&&way: &&(usize, usize)| self.step(way) == Some(&Step::Segment(Segment::Deep));
        let skipped: Vec<_> = ways.iter().filter(deep).map(|&(path, at)| (path, at + 1)).collect();
        ways.extend(skipped);
        ways
    }

    fn by_name(&self, ways: &Ways, name: Option<&str>) -> Ways {
        let moved = ways.iter().filter_map(|&(path, at)| match self.step((path, at))? {
            Step::Segment(Segment::Deep) => Some((path, at)),
            Step::Segment(Segment::Any) => Some((path, at + 1)),
            Step::Segment(Segment::Name(own)) => (Some(own.as_str()) == name).then_some((path, at + 1)),
            Step::Element(_) => None,
        });
        self.close(moved.collect())
    }

    /// Arrays are entered by themselves, save where the way on is one element of this one; the whole array is none of its elements.
    fn by_index(&self, ways: &Ways, index: Option<u32>) -> Ways {
        let moved = ways.iter().filter_map(|&(path, at)| match self.step((path, at)) {
            Some(Step::Element(own)) => (Some(*own) == index).then_some((path, at + 1)),
            Some(Step::Segment(_)) => Some((path, at)),
            None => path.checked_sub(self.renames.len()).is_some_and(|mark| self.marks[mark].each).then_some((path, at)),
        });
        self.close(moved.collect())
    }
}

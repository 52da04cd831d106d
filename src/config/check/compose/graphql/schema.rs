//! A graph's fields beside its schema: fields, arguments and types that there are, roots that somebody answers, and what costs a call for each
//! element of a list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use apollo_compiler::Schema;
use apollo_compiler::ast::FieldDefinition;
use apollo_compiler::schema::ExtendedType;
use frontgate_filters::words::spanned::{Place, Problem, Spanned};

use crate::compose::reference::{Part, Reference, Text};
use crate::config::model::{Call, GraphField, Graphql, Json};
use crate::nearest::nearest;

/// Something that does not go together.
#[derive(Debug)]
pub(crate) struct Told {
    /// What it is.
    pub problem: Problem,
    /// Whether the key is meant whose value is at its place.
    pub at_key: bool,
}

struct Check<'g> {
    written: &'g Graphql,
    schema: &'g Schema,
    told: Vec<Told>,
}

/// Everything in which a graph does not go together with its schema.
pub(crate) fn check(written: &Graphql, schema: &Schema) -> Vec<Told> {
    let mut check = Check { written, schema, told: Vec::new() };
    let lists = check.below_lists();
    for (name, field) in &written.fields {
        check.field(name, field, &lists);
    }
    check.roots();
    check.types();
    check.hidden();
    check.told
}

/// A reference to an argument or to the object that a field belongs to: its first word, the first name behind it, and where it is written.
struct Reads {
    head: String,
    name: String,
    written: String,
    place: Place,
}

/// What a call refers to, as far as it can be read.
fn reads(call: &Call) -> Vec<Reads> {
    let mut all = Vec::new();
    let mut text = |text: &str, place: Place| {
        let Ok(read) = Text::parse(text) else { return };
        for part in &read.parts {
            if let Part::Reference(reference) = part {
                all.extend(of(reference, place));
            }
        }
    };
    for (_, target) in &call.requests {
        text(target, target.place);
    }
    for value in call.headers.values() {
        text(value, value.place);
    }
    for body in call.sends() {
        Json::texts(body, &mut |found: Spanned<&str>| text(found.value, found.place));
    }
    if let Some(each) = &call.each
        && let Ok(reference) = Reference::bare(each.written())
    {
        all.extend(of(&reference, each.place));
    }
    all
}

fn of(reference: &Reference, place: Place) -> Option<Reads> {
    let rest = reference.rest.as_deref()?;
    let name = rest.split('.').next().unwrap_or_default().trim_matches('"').to_owned();
    matches!(reference.head.as_str(), "args" | "parent").then(|| Reads {
        head: reference.head.clone(),
        name,
        written: reference.to_string(),
        place,
    })
}

impl<'g> Check<'g> {
    fn tell(&mut self, problem: Problem) {
        self.told.push(Told { problem, at_key: false });
    }

    fn tell_key(&mut self, problem: Problem) {
        self.told.push(Told { problem, at_key: true });
    }

    /// The fields of an object or an interface.
    fn fields(&self, type_name: &str) -> Option<BTreeMap<&'g str, &'g FieldDefinition>> {
        let fields = match self.schema.types.get(type_name)? {
            ExtendedType::Object(object) => &object.fields,
            ExtendedType::Interface(interface) => &interface.fields,
            _ => return None,
        };
        Some(fields.iter().map(|(name, field)| (name.as_str(), &***field)).collect())
    }

    fn root_names(&self) -> Vec<&'g str> {
        let roots = &self.schema.schema_definition;
        roots.query.iter().chain(&roots.mutation).map(|name| name.as_str()).collect()
    }

    /// The field of this coordinate, or what is wrong with it.
    fn definition(&self, coordinate: &str, place: Place) -> Result<&'g FieldDefinition, Option<Problem>> {
        let Some((type_name, field)) = coordinate.split_once('.') else { return Err(None) };
        let own = || self.schema.types.iter().filter(|(_, own)| !own.is_built_in()).map(|(name, _)| name.as_str());
        let Some(fields) = self.fields(type_name) else {
            let message = match self.schema.types.get(type_name) {
                Some(_) => format!("`{type_name}` has no fields that are answered"),
                None => format!("the schema has no type `{type_name}`"),
            };
            let problem = Problem::at(place, message);
            return Err(Some(match nearest(type_name, own()).filter(|_| !self.schema.types.contains_key(type_name)) {
                Some(meant) => problem.help(format!("did you mean `{meant}.{field}`?")),
                None => problem,
            }));
        };
        fields.get(field).copied().ok_or_else(|| {
            let problem = Problem::at(place, format!("the type `{type_name}` has no field `{field}`"));
            Some(match nearest(field, fields.keys().copied()) {
                Some(meant) => problem.help(format!("did you mean `{type_name}.{meant}`?")),
                None if fields.len() <= 10 => {
                    problem.help(format!("it has {}", fields.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))
                }
                None => problem,
            })
        })
    }

    fn field(&mut self, name: &str, field: &Spanned<GraphField>, lists: &BTreeMap<String, String>) {
        let definition = match self.definition(name, field.place) {
            Ok(definition) => definition,
            Err(problem) => return problem.into_iter().for_each(|problem| self.tell_key(problem)),
        };
        let (type_name, field_name) = name.split_once('.').unwrap_or((name, ""));
        let is_root = self.root_names().contains(&type_name);
        if let (Some(from), true) = (&field.from, is_root) {
            self.tell(Problem::at(from.place, format!("`{name}` belongs to no object in which it could be found: write a call")));
        }
        let reads = field.call.as_deref().map(reads).unwrap_or_default();
        self.arguments(name, field, definition, &reads);
        let Some(call) = field.call.as_deref() else { return };
        if !is_root {
            self.parent(type_name, &reads);
        } else if !matches!(type_name, "Query" | "Mutation") {
            // Of those that are called so it is told at the very place.
            for read in reads.iter().filter(|read| read.head == "parent") {
                self.tell(Problem::at(read.place, format!("`{}`: a field of the whole graph belongs to no object", read.written)));
            }
        }
        if let (None, Some(path)) = (&call.each, lists.get(type_name)) {
            let message =
                format!("`{name}` is called once for each `{type_name}` of a list, as in `{path}.{field_name}`: n of them are n calls");
            let help = "write `each: parent.…` with `batch` and `by` where the upstream takes several values at once";
            self.tell_key(Problem::doubtful(field.place, message).help(help));
        }
    }

    /// Arguments that there are not, and those that a client has to give to nobody.
    fn arguments(&mut self, name: &str, field: &Spanned<GraphField>, definition: &FieldDefinition, reads: &[Reads]) {
        let known: BTreeSet<&str> = definition.arguments.iter().map(|argument| argument.name.as_str()).collect();
        let used: BTreeSet<&str> = reads.iter().filter(|read| read.head == "args").map(|read| read.name.as_str()).collect();
        for read in reads.iter().filter(|read| read.head == "args" && !known.contains(read.name.as_str())) {
            let problem = Problem::at(read.place, format!("`{}`: `{name}` has no argument `{}`", read.written, read.name));
            let meant = nearest(&read.name, known.iter().copied());
            self.tell(match (meant, known.len()) {
                (Some(meant), _) => problem.help(format!("did you mean `args.{meant}`?")),
                (None, 0) => problem.help("it has none in the schema"),
                (None, _) => {
                    problem.help(format!("it has {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))
                }
            });
        }
        for argument in definition.arguments.iter().filter(|argument| argument.is_required() && !used.contains(argument.name.as_str())) {
            let message = format!("`{name}` requires the argument `{}`, and nothing uses it", argument.name);
            self.tell_key(Problem::doubtful(field.place, message));
        }
    }

    /// Members that are written almost as the schema has them. Others may be in the JSON all the same.
    fn parent(&mut self, type_name: &str, reads: &[Reads]) {
        let Some(fields) = self.fields(type_name) else { return };
        // What refers to others is not shown where they are.
        let refers = |name: &str| ["_id", "_ids", "Id", "Ids"].iter().any(|end| name.ends_with(end));
        for read in reads.iter().filter(|read| read.head == "parent" && !fields.contains_key(read.name.as_str()) && !refers(&read.name)) {
            if let Some(meant) = nearest(&read.name, fields.keys().copied()) {
                let message =
                    format!("`{}`: the schema has no `{type_name}.{}`, which may be in the JSON all the same", read.written, read.name);
                self.tell(Problem::doubtful(read.place, message).help(format!("did you mean `parent.{meant}`?")));
            }
        }
    }

    /// Fields of the whole graph that nobody answers.
    fn roots(&mut self) {
        for root in self.root_names() {
            for (name, definition) in self.fields(root).unwrap_or_default() {
                let coordinate = format!("{root}.{name}");
                let is_ours = self.written.subgraph && matches!(name, "_service" | "_entities");
                if is_ours || self.written.fields.contains_key(&coordinate) {
                    continue;
                }
                let place = self.written.schema.place;
                let is_leaf = matches!(
                    self.schema.types.get(definition.ty.inner_named_type()),
                    Some(ExtendedType::Scalar(_) | ExtendedType::Enum(_))
                );
                let message = format!("nothing answers `{coordinate}`");
                let help = format!("write `{coordinate}: {{upstream: …, get: …}}` in `fields`");
                let problem = match is_leaf && !definition.ty.is_non_null() {
                    true => Problem::doubtful(place, format!("{message}: it is always null")),
                    false => Problem::at(place, message),
                };
                self.tell_key(problem.help(help));
            }
        }
    }

    /// The objects that an interface or a union may be.
    fn objects(&self, type_name: &str) -> Vec<&'g str> {
        let all = self.schema.types.iter().filter(|(_, known)| matches!(known, ExtendedType::Object(_)));
        all.map(|(name, _)| name.as_str()).filter(|name| self.schema.is_subtype(type_name, name)).collect()
    }

    fn types(&mut self) {
        for (name, types) in &self.written.types {
            let is_abstract = |known: &ExtendedType| matches!(known, ExtendedType::Interface(_) | ExtendedType::Union(_));
            match self.schema.types.get(name.as_str()) {
                Some(known) if is_abstract(known) => {}
                Some(_) => {
                    let message = format!("`{name}` is neither an interface nor a union: nobody asks which type it is");
                    self.tell_key(Problem::at(types.place, message));
                    continue;
                }
                None => {
                    let known = self.schema.types.iter().filter(|(_, known)| is_abstract(known)).map(|(name, _)| name.as_str());
                    let problem = Problem::at(types.place, format!("the schema has no type `{name}`"));
                    self.tell_key(match nearest(name, known) {
                        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                        None => problem,
                    });
                    continue;
                }
            }
            let objects = self.objects(name);
            for value in types.values.values().filter(|value| !objects.contains(&value.as_str())) {
                let problem = Problem::at(value.place, format!("`{}` is not one of the types that `{name}` may be", value.value));
                self.tell(match nearest(value, objects.iter().copied()) {
                    Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                    None => {
                        problem.help(format!("these are {}", objects.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))
                    }
                });
            }
        }
    }

    fn hidden(&mut self) {
        let Some(hide) = &self.written.hide else { return };
        for field in hide.profiles.values().flat_map(|fields| &fields.value) {
            match self.definition(field, field.place) {
                Ok(definition) if definition.ty.is_non_null() => {
                    let message = format!("`{}` is `{}`, which is never null: it cannot be hidden", field.value, definition.ty);
                    self.tell(Problem::at(field.place, message).help("remove the last `!` in the schema"));
                }
                Ok(_) => {}
                Err(problem) => problem.into_iter().for_each(|problem| self.tell(problem)),
            }
        }
    }

    /// Objects of which a query may find several at once, each with the way to them.
    fn below_lists(&self) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut seen: BTreeSet<(String, bool)> = BTreeSet::new();
        let mut next: VecDeque<(String, bool, String)> =
            self.root_names().into_iter().map(|root| (root.to_owned(), false, String::new())).collect();
        while let Some((type_name, is_below, path)) = next.pop_front() {
            if !seen.insert((type_name.clone(), is_below)) {
                continue;
            }
            if is_below {
                found.entry(type_name.clone()).or_insert_with(|| path.clone());
            }
            for (name, definition) in self.fields(&type_name).unwrap_or_default() {
                let inner = definition.ty.inner_named_type().as_str();
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let is_below = is_below || definition.ty.is_list();
                match self.schema.types.get(inner) {
                    Some(ExtendedType::Object(_)) => next.push_back((inner.to_owned(), is_below, path)),
                    Some(ExtendedType::Interface(_) | ExtendedType::Union(_)) => {
                        next.extend(self.objects(inner).into_iter().map(|object| (object.to_owned(), is_below, path.clone())));
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

//! A graph's fields beside its schema: fields, arguments and types that there are, roots that somebody answers, and what costs a call for each
//! element of a list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use apollo_compiler::ast::{FieldDefinition, InputValueDefinition, Type};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Node, Schema};
use frontgate_filters::words::spanned::{Place, Problem, Spanned};

use super::defaults;
use crate::compose::graphql::is_own;
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
    /// Where it is in the schema's text, where it is told there.
    pub in_schema: Option<Range<usize>>,
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
    check.defaults();
    check.types();
    check.hidden();
    check.told
}

/// A reference to an argument or to the object that a field belongs to: its first word, the names behind it, and where it is written.
struct Reads {
    head: String,
    name: String,
    /// The names behind that, as far as they are plain ones.
    below: Vec<String>,
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
    let mut names = rest.split('.').map(|name| name.trim_matches('"').to_owned());
    let name = names.next().unwrap_or_default();
    matches!(reference.head.as_str(), "args" | "parent").then(|| Reads {
        head: reference.head.clone(),
        name,
        below: if rest.contains('"') { Vec::new() } else { names.collect() },
        written: reference.to_string(),
        place,
    })
}

impl<'g> Check<'g> {
    fn tell(&mut self, problem: Problem) {
        self.told.push(Told { problem, at_key: false, in_schema: None });
    }

    fn tell_key(&mut self, problem: Problem) {
        self.told.push(Told { problem, at_key: true, in_schema: None });
    }

    /// Tells something of this part of the schema, where it is one that was written; else at the key of the schema.
    fn tell_schema(&mut self, problem: Problem, at: Option<SourceSpan>) {
        let own = at.filter(|at| is_own(self.schema, *at));
        self.told.push(Told { problem, at_key: true, in_schema: own.map(|at| at.offset()..at.end_offset()) });
    }

    /// The fields of an object or an interface.
    fn fields(&self, type_name: &str) -> Option<BTreeMap<&'g str, &'g Node<FieldDefinition>>> {
        let fields = match self.schema.types.get(type_name)? {
            ExtendedType::Object(object) => &object.fields,
            ExtendedType::Interface(interface) => &interface.fields,
            _ => return None,
        };
        Some(fields.iter().map(|(name, field)| (name.as_str(), &field.node)).collect())
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
        fields.get(field).map(|field| &***field).ok_or_else(|| {
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
        self.many(name, type_name, call, definition);
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
        for read in reads.iter().filter(|read| read.head == "args") {
            if let Some(argument) = definition.argument_by_name(&read.name)
                && let Some(problem) = self.below(read, &argument.ty)
            {
                self.tell(problem);
            }
        }
        for argument in definition.arguments.iter().filter(|argument| argument.is_required() && !used.contains(argument.name.as_str())) {
            let message = format!("`{name}` requires the argument `{}`, and nothing uses it", argument.name);
            self.tell_key(Problem::doubtful(field.place, message));
        }
    }

    /// A name within an argument that its type has not.
    fn below(&self, read: &Reads, of: &Type) -> Option<Problem> {
        let mut type_name = of.inner_named_type();
        // Numbers are places in lists.
        for name in read.below.iter().filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit())) {
            match self.schema.types.get(type_name)? {
                ExtendedType::InputObject(input) => match input.fields.get(name.as_str()) {
                    Some(field) => type_name = field.ty.inner_named_type(),
                    None => {
                        let problem = Problem::at(read.place, format!("`{}`: the input `{type_name}` has no `{name}`", read.written));
                        let known = input.fields.keys().map(|name| name.as_str());
                        return Some(match nearest(name, known.clone()) {
                            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                            None => {
                                problem.help(format!("it has {}", known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))
                            }
                        });
                    }
                },
                ExtendedType::Scalar(scalar) if !scalar.is_built_in() => return None,
                _ => return Some(Problem::at(read.place, format!("`{}`: a `{type_name}` has no `{name}`", read.written))),
            }
        }
        None
    }

    /// Whether a batch gives a field as many elements as it has place for.
    fn many(&mut self, name: &str, type_name: &str, call: &Call, definition: &FieldDefinition) {
        let Some(each) = call.each.as_ref().filter(|_| call.batch.is_some()) else { return };
        if let (Some(many), false) = (call.many.as_ref().filter(|many| many.value), definition.ty.is_list()) {
            let message = format!("`{name}` is one `{}`, and `many` gives it a list", definition.ty.inner_named_type());
            let problem = Problem::at(many.place, message);
            return self.tell_key(problem.help(format!("leave it out, or write `[{}]` in the schema", definition.ty.inner_named_type())));
        }
        // A list of values has an element for each.
        let Some(of) = each.written().strip_prefix("parent.").filter(|of| !of.contains('.')) else { return };
        let is_one = match self.fields(type_name).and_then(|fields| fields.get(of).copied()) {
            Some(field) => !field.ty.is_list() && !self.written.fields.contains_key(&format!("{type_name}.{of}")),
            None => of.ends_with("_id") || of.ends_with("Id"),
        };
        if is_one && definition.ty.is_list() && !call.is_many() {
            let message = format!("`{name}` is a list, and gets one element of the answer for each value of `{}`", each.written());
            self.tell_key(Problem::doubtful(each.place, message).help("write `many: true` for all that are for it"));
        }
    }

    /// Defaults that are no values of their types.
    fn defaults(&mut self) {
        let arguments = |fields: &'g FieldDefinition| fields.arguments.iter().map(|argument| &**argument).collect::<Vec<_>>();
        let mut all: Vec<&'g InputValueDefinition> = Vec::new();
        for known in self.schema.types.values().filter(|known| !known.is_built_in()) {
            match known {
                ExtendedType::Object(object) => all.extend(object.fields.values().flat_map(|field| arguments(field))),
                ExtendedType::Interface(interface) => all.extend(interface.fields.values().flat_map(|field| arguments(field))),
                ExtendedType::InputObject(input) => all.extend(input.fields.values().map(|field| &***field)),
                _ => {}
            }
        }
        for definition in all {
            if let Some((at, message)) = defaults::wrong(self.schema, definition) {
                self.tell_schema(Problem::at(self.written.schema.place, message), at.location());
            }
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
                self.tell_schema(problem.help(help), definition.location());
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
                Ok(_) => {
                    // An object may promise more than its interface does.
                    let (kind, own) = field.split_once('.').unwrap_or((field, ""));
                    let is_sure = |object: &&str| self.schema.type_field(object, own).is_ok_and(|field| field.ty.is_non_null());
                    if let Some(object) = self.objects(kind).into_iter().find(is_sure) {
                        let message = format!("`{}` is never null in `{object}`: it cannot be hidden", field.value);
                        self.tell(Problem::at(field.place, message).help(format!("remove the last `!` of `{object}.{own}` in the schema")));
                    }
                }
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

//! What is not the same in two schemas of graphs, element by element: types, their fields, values and members, directives.

use std::collections::BTreeMap;

use super::difference::Changed;

/// How many elements are told.
const TOLD: usize = 40;
/// How many letters of one.
const LETTERS: usize = 160;

/// What is not the same in two schemas that stand at this path.
pub(super) fn compare(path: &str, old: &str, new: &str, out: &mut Vec<Changed>) {
    let (Some(before), Some(after)) = (elements(old), elements(new)) else {
        out.push(Changed { key: path.to_owned(), old: Some(summary(old)), new: Some(summary(new)) });
        return;
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))).collect();
    names.sort();
    let mut told: Vec<Changed> = Vec::new();
    for name in names {
        let (one, other) = (before.get(name), after.get(name));
        if one != other {
            told.push(Changed { key: format!("{path} {name}"), old: one.map(|text| short(text)), new: other.map(|text| short(text)) });
        }
    }
    if told.is_empty() {
        let [old, new] = [old, new].map(|text| Some(format!("{}, said otherwise", summary(text))));
        out.push(Changed { key: path.to_owned(), old, new });
        return;
    }
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    out.extend(told);
    if more > 0 {
        let [old, new] = [old, new].map(|text| Some(summary(text)));
        out.push(Changed { key: format!("{path} (and {more} more)"), old, new });
    }
}

/// A schema in a few words.
pub(super) fn summary(sdl: &str) -> String {
    match elements(sdl) {
        Some(elements) => {
            let types = elements.keys().filter(|name| !name.contains(['.', '@', ' '])).count();
            let fields = elements.keys().filter(|name| name.contains('.')).count();
            format!("a schema of {types} {} and {fields} {}", plural("type", types), plural("field", fields))
        }
        None => format!("a schema of {} lines", sdl.lines().count()),
    }
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Its elements by their coordinates, each without what is said of it for people; nothing where it cannot be read.
#[cfg(feature = "graphql")]
fn elements(sdl: &str) -> Option<BTreeMap<String, String>> {
    read::elements(sdl)
}

#[cfg(not(feature = "graphql"))]
fn elements(_: &str) -> Option<BTreeMap<String, String>> {
    None
}

#[cfg(feature = "graphql")]
mod read {
    use std::collections::BTreeMap;
    use std::fmt::Display;

    use apollo_compiler::ast::{Definition, DirectiveList, EnumValueDefinition, FieldDefinition, InputValueDefinition, OperationType};
    use apollo_compiler::parser::Parser;
    use apollo_compiler::{Name, Node};

    type Elements = BTreeMap<String, String>;

    pub(super) fn elements(sdl: &str) -> Option<Elements> {
        let document = Parser::new().token_limit(1_000_000).recursion_limit(64).parse_ast(sdl, "").ok()?;
        let mut all = Elements::new();
        for definition in &document.definitions {
            element(definition, &mut all);
        }
        Some(all)
    }

    /// What a definition says, or an extension adds.
    fn element(definition: &Definition, all: &mut Elements) {
        match definition {
            Definition::SchemaDefinition(of) => roots(&of.root_operations, &of.directives, all),
            Definition::SchemaExtension(of) => roots(&of.root_operations, &of.directives, all),
            Definition::DirectiveDefinition(of) => {
                let places = of.locations.iter().map(|place| place.name()).collect::<Vec<_>>().join(" | ");
                let repeatable = if of.repeatable { " repeatable" } else { "" };
                add(all, &format!("@{}", of.name), &format!("directive{}{repeatable} on {places}", of_arguments(&of.arguments)));
            }
            Definition::ScalarTypeDefinition(of) => named(&of.name, "scalar", &of.directives, all),
            Definition::ScalarTypeExtension(of) => named(&of.name, "", &of.directives, all),
            Definition::ObjectTypeDefinition(of) => {
                named(&of.name, &of_interfaces("type", &of.implements_interfaces), &of.directives, all);
                fields(&of.name, &of.fields, all);
            }
            Definition::ObjectTypeExtension(of) => {
                named(&of.name, &of_interfaces("", &of.implements_interfaces), &of.directives, all);
                fields(&of.name, &of.fields, all);
            }
            Definition::InterfaceTypeDefinition(of) => {
                named(&of.name, &of_interfaces("interface", &of.implements_interfaces), &of.directives, all);
                fields(&of.name, &of.fields, all);
            }
            Definition::InterfaceTypeExtension(of) => {
                named(&of.name, &of_interfaces("", &of.implements_interfaces), &of.directives, all);
                fields(&of.name, &of.fields, all);
            }
            Definition::UnionTypeDefinition(of) => members((&of.name, "union"), &of.directives, &of.members, all),
            Definition::UnionTypeExtension(of) => members((&of.name, ""), &of.directives, &of.members, all),
            Definition::EnumTypeDefinition(of) => values((&of.name, "enum"), &of.directives, &of.values, all),
            Definition::EnumTypeExtension(of) => values((&of.name, ""), &of.directives, &of.values, all),
            Definition::InputObjectTypeDefinition(of) => inputs((&of.name, "input"), &of.directives, &of.fields, all),
            Definition::InputObjectTypeExtension(of) => inputs((&of.name, ""), &of.directives, &of.fields, all),
            Definition::OperationDefinition(_) | Definition::FragmentDefinition(_) => {}
        }
    }

    fn named(name: &str, what: &str, directives: &DirectiveList, all: &mut Elements) {
        add(all, name, &format!("{what}{}", of_directives(directives)));
    }

    fn roots(roots: &[Node<(OperationType, Name)>], directives: &DirectiveList, all: &mut Elements) {
        let roots: Vec<String> = roots.iter().map(|root| format!("{}: {}", root.0, root.1)).collect();
        named("the schema", &roots.join(" "), directives, all);
    }

    fn members((name, what): (&Name, &str), directives: &DirectiveList, members: &[Name], all: &mut Elements) {
        named(name, what, directives, all);
        members.iter().for_each(|member| add(all, &format!("{name}.{member}"), "member"));
    }

    fn values((name, what): (&Name, &str), directives: &DirectiveList, values: &[Node<EnumValueDefinition>], all: &mut Elements) {
        named(name, what, directives, all);
        values.iter().for_each(|value| named(&format!("{name}.{}", value.value), "value", &value.directives, all));
    }

    fn inputs((name, what): (&Name, &str), directives: &DirectiveList, fields: &[Node<InputValueDefinition>], all: &mut Elements) {
        named(name, what, directives, all);
        fields.iter().for_each(|field| add(all, &format!("{name}.{}", field.name), &input(field)));
    }

    /// An element, or what an extension adds to one.
    fn add(all: &mut Elements, name: &str, says: &str) {
        let known = all.entry(name.to_owned()).or_default();
        if !known.is_empty() && !says.is_empty() && !says.starts_with(' ') {
            known.push(' ');
        }
        known.push_str(says);
    }

    fn fields(of: &str, fields: &[Node<FieldDefinition>], all: &mut Elements) {
        for field in fields {
            let arguments = of_arguments(&field.arguments);
            let colon = if arguments.is_empty() { "" } else { ": " };
            add(all, &format!("{of}.{}", field.name), &format!("{arguments}{colon}{}{}", field.ty, of_directives(&field.directives)));
        }
    }

    fn of_interfaces(what: &str, names: &[impl Display]) -> String {
        match names {
            [] => what.to_owned(),
            names => format!("{what} implements {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" & ")),
        }
    }

    fn of_arguments(arguments: &[Node<InputValueDefinition>]) -> String {
        match arguments {
            [] => String::new(),
            all => {
                let all: Vec<String> = all.iter().map(|argument| format!("{}: {}", argument.name, input(argument))).collect();
                format!("({})", all.join(", "))
            }
        }
    }

    fn input(value: &InputValueDefinition) -> String {
        let default = value.default_value.as_ref().map(|value| format!(" = {}", value.serialize().no_indent())).unwrap_or_default();
        format!("{}{default}{}", value.ty, of_directives(&value.directives))
    }

    fn of_directives(directives: &DirectiveList) -> String {
        directives.iter().map(|directive| format!(" {}", directive.serialize().no_indent())).collect()
    }
}

//! The document of a call: one operation that a GraphQL service can be sent, as far as that can be said without the service's schema.

use std::ops::Range;

use apollo_compiler::Node;
use apollo_compiler::ast::{self, Argument, Definition, DirectiveList, OperationType, Selection, Value};
use apollo_compiler::diagnostic::ToCliReport;
use apollo_compiler::parser::{Parser, SourceSpan};
use apollo_compiler::validation::DiagnosticList;

use crate::compose::template::Scalar;

/// The most tokens of a document.
const MOST_TOKENS: usize = 20_000;
/// How deep braces and brackets may lie in each other.
const MOST_NESTED: usize = 64;

/// A document that was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// Its operation, for people: `query Home`.
    pub operation: String,
    /// Whether that changes something.
    pub changes: bool,
    /// Its variables.
    pub variables: Vec<Variable>,
}

/// A variable that a document declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name, without the dollar.
    pub name: String,
    /// Where it is declared.
    pub at: Range<usize>,
    /// Its type as it is written.
    pub written: String,
    /// The name in its type.
    named: String,
    /// Whether the document cannot do without it.
    pub is_required: bool,
    /// Whether it may be null.
    pub is_nullable: bool,
    /// Whether it is a list.
    pub is_list: bool,
    /// What texts become in it.
    pub scalar: Scalar,
}

/// Something that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where, in bytes; nothing where it is all of it.
    pub at: Range<usize>,
    /// One sentence.
    pub message: String,
}

impl Document {
    /// Reads a document. All that is wrong with it is told.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Fault>> {
        let mut parser = Parser::new().token_limit(MOST_TOKENS).recursion_limit(MOST_NESTED);
        let read = parser.parse_ast(text, "query.graphql").map_err(|wrong| faults(&wrong.errors))?;
        let mut wrong = read.validate_standalone_executable().map_err(|wrong| faults(&wrong)).err().unwrap_or_default();
        let mut operations = read.definitions.iter().filter_map(Definition::as_operation_definition);
        let Some(operation) = operations.next() else {
            wrong.push(Fault { at: 0..0, message: "there is no operation in it, as `query { … }`".to_owned() });
            return Err(wrong);
        };
        wrong.extend(
            operations.map(|other| Fault {
                at: range(other.location()),
                message: "a call sends one operation, and this is another one".to_owned(),
            }),
        );
        if operation.operation_type == OperationType::Subscription {
            let message = "a subscription has many answers, and a call has one: write a query".to_owned();
            wrong.push(Fault { at: start(operation.location(), "subscription"), message });
        }
        undeclared(&read, operation, &mut wrong);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let name = operation.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        Ok(Self {
            operation: format!("{}{name}", operation.operation_type.name()),
            changes: operation.operation_type == OperationType::Mutation,
            variables: operation.variables.iter().map(Variable::of).collect(),
        })
    }
}

impl Variable {
    /// Whether everybody knows what its type takes: it is of the language itself.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.named.as_str(), "Int" | "Float" | "Boolean" | "String" | "ID")
    }

    /// Whether nothing but text is taken for it.
    pub(crate) fn is_text(&self) -> bool {
        self.named == "String"
    }

    fn of(written: &Node<ast::VariableDefinition>) -> Self {
        let is_nullable = !written.ty.is_non_null();
        Self {
            name: written.name.to_string(),
            at: range(written.location()),
            written: written.ty.to_string(),
            named: written.ty.inner_named_type().to_string(),
            is_required: !is_nullable && written.default_value.is_none(),
            is_nullable,
            is_list: written.ty.is_list(),
            scalar: match written.ty.inner_named_type().as_str() {
                "Int" => Scalar::Int,
                "Float" => Scalar::Float,
                "Boolean" => Scalar::Boolean,
                _ => Scalar::Any,
            },
        }
    }
}

fn range(span: Option<SourceSpan>) -> Range<usize> {
    span.map_or(0..0, |span| span.offset()..span.end_offset())
}

/// The first word of what is there.
fn start(span: Option<SourceSpan>, word: &str) -> Range<usize> {
    let at = range(span).start;
    at..at + word.len()
}

/// What the library tells, but that it knows no directive without a schema, not even `@include`.
fn faults(errors: &DiagnosticList) -> Vec<Fault> {
    let told = errors.iter().filter(|found| found.error.unstable_error_name() != Some("UndefinedDirective"));
    told.map(|found| Fault { at: range(found.error.location()), message: found.error.to_string() }).collect()
}

/// Variables that are used and not declared: without a schema the library does not look at arguments.
fn undeclared(document: &ast::Document, operation: &ast::OperationDefinition, wrong: &mut Vec<Fault>) {
    let mut look = |name: &str, at: Option<SourceSpan>| {
        let fault = Fault { at: range(at), message: format!("the operation declares no variable `${name}`") };
        if !operation.variables.iter().any(|variable| variable.name == name) && !wrong.contains(&fault) {
            wrong.push(fault);
        }
    };
    directives(&operation.directives, &mut look);
    selections(&operation.selection_set, &mut look);
    for fragment in document.definitions.iter().filter_map(Definition::as_fragment_definition) {
        directives(&fragment.directives, &mut look);
        selections(&fragment.selection_set, &mut look);
    }
}

/// What is told of each variable that is used.
type Look<'l> = dyn FnMut(&str, Option<SourceSpan>) + 'l;

fn selections(all: &[Selection], look: &mut Look<'_>) {
    for selection in all {
        match selection {
            Selection::Field(field) => {
                arguments(&field.arguments, look);
                directives(&field.directives, look);
                selections(&field.selection_set, look);
            }
            Selection::FragmentSpread(spread) => directives(&spread.directives, look),
            Selection::InlineFragment(inline) => {
                directives(&inline.directives, look);
                selections(&inline.selection_set, look);
            }
        }
    }
}

fn directives(all: &DirectiveList, look: &mut Look<'_>) {
    all.iter().for_each(|directive| arguments(&directive.arguments, look));
}

fn arguments(all: &[Node<Argument>], look: &mut Look<'_>) {
    all.iter().for_each(|argument| value(&argument.value, look));
}

fn value(written: &Node<Value>, look: &mut Look<'_>) {
    match &**written {
        Value::Variable(name) => look(name, written.location()),
        Value::List(elements) => elements.iter().for_each(|element| value(element, look)),
        Value::Object(members) => members.iter().for_each(|(_, member)| value(member, look)),
        _ => {}
    }
}

//! What is said of graphs: by themselves, and beside their schemas.

use crate::config::diagnostics::Diagnostics;
use crate::config::load_text;

const SCHEMA: &str = "type Query { user(id: ID!): User users(ids: [ID!]!): [User] version: String find(term: String!): [Found] }
type Mutation { rate(product: ID!, stars: Int!): Rating }
type User { id: ID! name: String! orders(limit: Int = 2): [Order!] city: String best: User }
type Order { id: ID! product: Product }
type Product { id: ID! hd: String sure: String! }
type Rating { stars: Int }
union Found = User | Product";

/// A whole configuration with this graph; its keys are indented by six.
fn whole(route: &str, schema: &str, graphql: &str) -> String {
    let schema: String = schema.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "version: 1\nserver: {{listeners: [{{address: \"127.0.0.1:8080\"}}]}}\nupstreams: {{p: {{endpoints: [\"10.0.0.1:80\"]}}}}\n\
         filters: {{slim: {{trim: {{profiles: {{smart_tv: {{drop: [hd]}}}}}}}}}}\n\
         routes:\n  - name: it\n    path: /graphql\n    {route}\n    graphql:\n      schema: |\n{schema}{graphql}\n"
    )
}

fn found(text: &str) -> Diagnostics {
    let loaded = match load_text("a.yaml", text) {
        Ok(loaded) => loaded,
        Err(found) => return found,
    };
    #[cfg(feature = "graphql")]
    return match crate::snapshot::opened(loaded) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    #[cfg(not(feature = "graphql"))]
    return loaded.warnings;
}

/// What is said, each with its line, its place and its help, without backticks.
fn told(route: &str, schema: &str, graphql: &str) -> Vec<String> {
    let text = whole(route, schema, graphql);
    let said = found(&text).items.into_iter().map(|item| {
        let written = item.place.as_ref().map_or("", |at| &text[at.range.clone()]).lines().next().unwrap_or_default();
        let help = item.help.map(|help| format!(" (help: {help})")).unwrap_or_default();
        format!("{:?} at {written}: {}{help}", item.severity, item.message).replace('`', "")
    });
    said.filter(|said| !said.contains("is not used")).collect()
}

/// The fields that answer every root, and these.
fn fields(more: &str) -> String {
    format!(
        "      fields:\n        Query.user: {{upstream: p, get: \"/users/{{args.id}}\"}}\n        \
         Query.users: {{upstream: p, get: \"/users?ids={{each}}\", each: args.ids, batch: 50, by: id}}\n        \
         Query.version: {{upstream: p, get: /version}}\n        Query.find: {{upstream: p, get: \"/find?q={{args.term}}\"}}\n        \
         Mutation.rate: {{upstream: p, post: \"/rate/{{args.product}}\", body: {{stars: \"{{args.stars}}\"}}}}\n{more}"
    )
}

#[track_caller]
fn assert_told(found: &[String], words: &[&str]) {
    for words in words {
        assert!(found.iter().any(|said| said.contains(words)), "{words}: {found:#?}");
    }
    assert_eq!(found.len(), words.len(), "{found:#?}");
}

#[test]
fn a_graph_that_works_is_told_nothing_wrong_of() {
    let more = "        User.orders: {upstream: p, get: \"/orders?of={each}&limit={args.limit}\", each: parent.id, batch: 9, by: of, many: true, otherwise: []}
        Order.product: {upstream: p, get: \"/products?ids={each}\", each: parent.product_id, batch: 50, at: items, by: id}
        User.city: {from: address.city}
      types: {Found: {by: kind, values: {u: User, p: Product}}}
      hide: {profiles: {smart_tv: [Product.hd]}}
      limits: {depth: 5}
      introspection: true
      persisted: {automatic: 100}
      get: false";

    // `best` is answered by the members of its user.
    assert_told(&told("methods: [POST]", SCHEMA, &fields(more)), &[]);
}

#[test]
fn what_calls_of_fields_cannot_have_or_refer_to_is_told_at_its_place() {
    let more = "        User.orders: {get: \"/orders/{parent.id}\", keep: [id], optional: true, into: a.b, back: [Set-Cookie], rename: {a: b}, drop: [x]}
        User.city: {from: a.b, upstream: p, get: /city}
        User.best: {}
        orders: {upstream: p, get: /x}
        Order.product: {upstream: p, get: \"/p/{parnt.id}/{body.a}/{args}\", when: {args.x: 1}, timeout: 0ms}
        Product.hd: {upstream: p, get: \"/hd/{claim.sub}\", each: parent.ids}
        Product.sure: {upstream: p, get: \"/sure/{parent.x}?ids={each}\", each: parent.ids, batch: 5, by: id}";

    let found = told("timeout: 3s", SCHEMA, &fields(more));

    assert_told(
        &found,
        &[
            "the call of User.orders has no upstream",
            "Error at keep: keep says nothing here",
            "Error at drop: drop says nothing here",
            "a call has keep or drop, not both",
            "Error at rename: rename says nothing here",
            "Error at optional: optional says nothing here",
            "Error at into: into says nothing here",
            "into belongs to each",
            "Error at back: back says nothing here",
            "Error at from: a field is answered from a call, or from another place",
            "nothing says what User.best is answered from (help: write a call",
            "Error at orders: orders is not a field of a type (help: write Type.field",
            "Error at parnt.id: parnt is no call, no variable of the route's path and no selector (help: did you mean parent?)",
            "Error at {body.a}: the client's body is the query itself",
            "Error at {args}: args is all of them",
            "timeout of the call is 0",
            "Error at {claim.sub}: claim.sub is read here, and no filter of this route verifies a token",
            "{each} stands nowhere in it",
            "Product.hd is one call for each value of parent.ids",
            "Error at {parent.x}: Product.sure is called for several objects at once",
        ],
    );
}

#[test]
fn what_stands_around_a_graph_goes_with_it() {
    let more = "      hide: {profiles: {smart_tvs: [hd, Product.hd, Product.hd]}}
      limits: {depth: 0}
      introspection: {claim.roles: [developer]}
      persisted: {only: true, automatic: 5}";

    assert_told(
        &told("methods: [GET]\n    filters: [slim]\n    rewrite: {strip_prefix: /x}", SCHEMA, &fields(more)),
        &[
            "requests to a graph are sent by POST",
            "trim removes members by their names",
            "rewrite changes the path of a request that is passed on, and a graph passes none on",
            "/x is not made of the path's first literal segments",
            "there is no device class smart_tvs",
            "hd is not a field of a type",
            "Product.hd is listed twice",
            "Error at 0: depth is 0",
            "claim.roles is read here, and no filter of this route verifies a token",
            "only runs the operations of a file alone",
            "automatic lets clients make operations known",
        ],
    );
    assert_told(&told("priority: high", SCHEMA, &fields("      persisted: {}")), &["persisted makes nothing known"]);
}

#[cfg(feature = "graphql")]
#[test]
fn a_mistake_in_a_schema_is_told_in_its_own_line() {
    let text =
        whole("priority: high", "type Query {\n  a: String\n  b: Strin\n}", "      fields:\n        Query.a: {upstream: p, get: /a}");

    let told = found(&text).to_string();

    assert!(told.contains("Strin") && told.contains("a.yaml:13:") && told.contains("  b: Strin"), "{told}");
}

#[cfg(feature = "graphql")]
#[test]
fn names_are_those_of_the_schema() {
    let more = "        Query.usr: {upstream: p, get: /x}
        User.nam: {from: n}
        Usr.name: {from: n}
        User.orders: {upstream: p, get: \"/orders?of={parent.idd}&limit={args.limt}\"}
        Order.product: {upstream: p, get: \"/p/{parent.product_id}\"}
      types: {Found: {by: kind, values: {u: Usr}}, User: {by: kind}, Fund: {by: kind}}
      hide: {profiles: {smart_tv: [Product.sure, Product.hdd]}}";

    assert_told(
        &told("priority: high", SCHEMA, &fields(more)),
        &[
            "Error at Query.usr: the type Query has no field usr (help: did you mean Query.user?)",
            "Error at User.nam: the type User has no field nam (help: did you mean User.name?)",
            "Error at Usr.name: the schema has no type Usr (help: did you mean User.name?)",
            "args.limt: User.orders has no argument limt (help: did you mean args.limit?)",
            "Warning at \"/orders?of={parent.idd}&limit={args.limt}\": parent.idd: the schema has no User.idd",
            "Warning at User.orders: User.orders is called once for each User of a list, as in find.orders",
            "Warning at Order.product: Order.product is called once for each Order of a list, as in find.orders.product",
            "Usr is not one of the types that Found may be (help: did you mean User?)",
            "Error at User: User is neither an interface nor a union",
            "Error at Fund: the schema has no type Fund (help: did you mean Found?)",
            "Error at Product.sure: Product.sure is String!, which is never null",
            "Error at Product.hdd: the type Product has no field hdd (help: did you mean Product.hd?)",
        ],
    );
}

#[cfg(feature = "graphql")]
#[test]
fn roots_are_answered_and_arguments_that_have_to_be_given_are_used() {
    let fields = "      fields:\n        Query.user: {upstream: p, get: /users}\n        Query.version: {from: v}";

    assert_told(
        &told("priority: high", SCHEMA, fields),
        &[
            "Warning at Query.user: Query.user requires the argument id, and nothing uses it",
            "Query.version belongs to no object in which it could be found",
            "Error at users(ids: [ID!]!): [User]: nothing answers Query.users (help: write Query.users: {upstream: …, get: …} in fields)",
            "Error at find(term: String!): [Found]: nothing answers Query.find",
            "Error at rate(product: ID!, stars: Int!): Rating: nothing answers Mutation.rate",
        ],
    );
}

#[cfg(feature = "graphql")]
#[test]
fn what_an_object_promises_beyond_its_interface_cannot_be_hidden() {
    let schema = "type Query { thing: Thing } interface Thing { hd: Int sd: Int } type Cup implements Thing { hd: Int! sd: Int }";
    let fields = "      fields: {Query.thing: {upstream: p, get: /thing}}\n      hide: {profiles: {smart_tv: [Thing.hd, Thing.sd]}}";

    assert_told(&told("priority: high", schema, fields), &["Error at Thing.hd: Thing.hd is never null in Cup: it cannot be hidden"]);
}

#[cfg(feature = "graphql")]
#[test]
fn what_is_within_an_argument_has_the_names_of_its_input() {
    let schema = "type Query { find(by: By!, tags: [Tag!], raw: Raw): String }
input By { name: String, tag: Tag }
input Tag { id: ID! }
scalar Raw";
    let fields = "      fields:
        Query.find:
          upstream: p
          post: \"/find?a={args.by.tag.id}&b={args.by.nam}&c={args.by.tag.id.x}\"
          headers: {X-Tag: \"{args.by.tag.ids}\"}
          body: {first: \"{args.tags.0.id}\", all: \"{args.tags.key}\", raw: \"{args.raw.a.b}\", \"...\": args.by}";

    assert_told(
        &told("priority: high", schema, fields),
        &[
            "args.by.nam: the input By has no nam (help: did you mean name?)",
            "args.by.tag.id.x: a ID has no x",
            "args.by.tag.ids: the input Tag has no ids (help: did you mean id?)",
            "args.tags.key: the input Tag has no key (help: it has id)",
        ],
    );
}

#[cfg(feature = "graphql")]
#[test]
fn a_batch_gives_a_list_to_a_list_and_one_element_to_what_is_none() {
    let schema = "type Query { books: [Book!] some(ids: [ID!]!): [Book] }
type Book { id: ID! tag_ids: [ID!] reviews: [Review!] notes: [Review!] tags: [Review] all: [Review] author: Author writer: Author }
type Review { id: ID! }
type Author { id: ID! }";
    let each = |name: &str, of: &str, more: &str| {
        format!("        {name}: {{upstream: p, get: \"/x?ids={{each}}\", each: {of}, batch: 9, by: of{more}}}\n")
    };
    let fields = [
        "      fields:\n        Query.books: {upstream: p, get: /books}\n".to_owned(),
        each("Query.some", "args.ids", ""),
        each("Book.reviews", "parent.id", ""),
        each("Book.notes", "parent.note_id", ""),
        // A list of values has an element for each.
        each("Book.tags", "parent.tag_ids", ""),
        each("Book.all", "parent.id", ", many: true"),
        each("Book.author", "parent.author_id", ""),
        each("Book.writer", "parent.writer_id", ", many: true"),
    ];

    assert_told(
        &told("priority: high", schema, fields.concat().trim_end()),
        &[
            "Warning at each: Book.reviews is a list, and gets one element of the answer for each value of parent.id (help: write many: true",
            "Warning at each: Book.notes is a list, and gets one element",
            "Error at many: Book.writer is one Author, and many gives it a list (help: leave it out, or write [Author] in the schema)",
        ],
    );
}

#[cfg(feature = "graphql")]
#[test]
fn defaults_are_values_of_their_types() {
    let good = "a: Int = 3, b: Float = 3, c: Float = 1.5, d: String = \"x\", e: Boolean = true, f: ID = 7, g: ID = \"x\", h: Mood = GOOD, i: [Int!] = [1], \
                j: [Int] = 1, k: In = {n: 1}, l: Raw = {x: [1]}, m: Int = null, n: [Int] = [null]";
    let bad = "a: Int = \"x\", b: Int = 9999999999, c: Float = \"1\", d: String = 1, e: Boolean = 1, f: ID = true, g: Mood = NONE, h: Mood = \"GOOD\", \
               i: [Int!] = [null], j: In = {}, k: In = {n: 1, x: 1}, l: Int! = null, m: In = 1";
    let schema = |arguments: &str| {
        format!(
            "type Query {{ it({arguments}): String }}\nenum Mood {{ GOOD }}\nscalar Raw\ninput In {{ n: Int! o: Int = {} }}",
            if arguments == bad { "true" } else { "1" }
        )
    };
    let fields = "      fields:\n        Query.it: {upstream: p, get: /it}";

    assert_told(
        &told("priority: high", &schema(good), fields).into_iter().filter(|said| !said.contains("nothing uses it")).collect::<Vec<_>>(),
        &[],
    );
    let found: Vec<String> = told("priority: high", &schema(bad), fields).into_iter().filter(|said| said.contains("default")).collect();
    let of = |name: char| format!(": the default of {name} is no ");
    let expected: Vec<String> = ('a'..='m').chain(['o']).map(of).collect();
    assert_told(&found, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(found[0].starts_with("Error at \"x\": the default of a is no Int"), "{found:#?}");
}

#[cfg(feature = "graphql")]
#[test]
fn what_is_missing_in_a_schema_is_told_where_it_is_missing_and_what_is_misspelt_with_what_was_meant() {
    let text = |schema: &str| {
        let text = whole("priority: high", schema, "      fields:\n        Query.a: {upstream: p, get: /a}");
        found(&text).to_string()
    };

    let (open, misspelt) = (text("type Query {\n  a: Book\n}\ntype Book { id: ID! "), text("type Query { a: Bok }\ntype Book { id: ID! }"));

    assert!(open.contains("expected `}`, found the end") && open.contains("a.yaml:14:28"), "{open}");
    assert!(misspelt.contains("cannot find type `Bok`") && misspelt.contains("did you mean `Book`?"), "{misspelt}");
}

#[cfg(feature = "graphql")]
#[test]
fn fields_ask_a_service_with_a_document_that_fits_what_they_are() {
    let with = |field: &str, call: &str| {
        let written = fields("");
        let others: Vec<&str> = written.lines().filter(|line| !line.contains(&format!("{field}:"))).collect();
        told("methods: [POST]", SCHEMA, &format!("{}\n        {field}: {{upstream: p, post: /graphql, {call}}}", others.join("\n")))
    };

    let user = "query: 'query User($id: ID!) { user(id: $id) { id name } }', variables: {id: '{args.id}'}, at: user";
    assert_told(&with("Query.user", user), &[]);
    assert_told(
        &with("Query.user", "query: 'mutation User($id: ID!) { user(id: $id) { id } }', variables: {id: '{args.id}'}"),
        &[
            "Error at query: Query.user is asked beside others and as often as it is wanted, and this document is a mutation (help: make it a field of Mutation)",
        ],
    );
    assert_told(
        &with(
            "Mutation.rate",
            "query: 'query Rate($p: ID!, $s: Int!) { rate(p: $p, s: $s) { stars } }', variables: {p: '{args.product}', s: '{args.stars}'}",
        ),
        &["Warning at query: Mutation.rate is a mutation, and a query changes nothing"],
    );
    assert_told(
        &with("Query.user", "query: 'query User($id: ID!) { user(id: $id) { id } }', variables: {id: '{args.uid}'}"),
        &["has no argument uid", "requires the argument id, and nothing uses it"],
    );
}

//! GraphQL over REST services, through the real gateway: public cases, the audits of GraphQL over HTTP, what is promised of such a route.

/// The audits of the package graphql-http, which say what a server must, should and may do.
mod audits;
/// Packages of npm that speak with the gateway.
mod bundles;
/// Every case that is written down, with its answer and what it may ask of services.
mod cases;
/// A client in a browser.
mod client;
/// GraphiQL, for people with a browser.
mod graphiql;
/// What the page for graphs shows.
mod page;
/// A federation router with this graph under it.
mod router;
/// Fields that another graph answers.
mod services;
/// What is promised, rule by rule.
mod serving;
/// REST services behind a schema.
mod world;

// A federation router over two subgraphs: the one at the address that is given, and a small one of its own. What its queries are answered, and
// what each subgraph was asked for that, are written as JSON.
import { createServer } from "node:http";
import { getStitchedSchemaFromSupergraphSdl } from "@graphql-tools/federation";
import { composeServices } from "@theguild/federation-composition";
import { buildSchema, graphql, parse } from "graphql";

const NOTES = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])
  type Query { latest: [Note!]! }
  type Note { text: String! by: User of: Product! }
  type Product @key(fields: "sku") { sku: String! notes: [String!]! }
  type User @key(fields: "id") { id: ID! wrote: Int! }
`;

const notes = [
  { text: "bright", of: "a", by: "1" },
  { text: "heavy", of: "b", by: "2" },
  { text: "again", of: "a", by: "1" },
  { text: "lost", of: "zz", by: "9" },
];
const product = (sku) => ({ __typename: "Product", sku, notes: notes.filter(({ of }) => of === sku).map(({ text }) => text) });
const user = (id) => ({ __typename: "User", id, wrote: notes.filter(({ by }) => by === id).length });

/** The second subgraph: its address. */
async function serveNotes() {
  const federated = NOTES.replace(/extend schema .*/, "directive @key(fields: String!) repeatable on OBJECT").replace(
    "type Query {",
    "scalar _Any union _Entity = Product | User type _Service { sdl: String } type Query { _service: _Service! _entities(representations: [_Any!]!): [_Entity]!",
  );
  const schema = buildSchema(federated);
  const rootValue = {
    _service: { sdl: NOTES },
    _entities: ({ representations }) => representations.map((it) => (it.__typename === "User" ? user(it.id) : product(it.sku))),
    latest: notes.map(({ text, of, by }) => ({ text, of: product(of), by: user(by) })),
  };
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const { query: source, variables: variableValues, operationName } = JSON.parse(Buffer.concat(parts).toString());
    const answer = await graphql({ schema, rootValue, source, variableValues, operationName });
    response.setHeader("Content-Type", "application/json").end(JSON.stringify(answer));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}/graphql`, server };
}

async function schemaOf(url) {
  const body = JSON.stringify({ query: "{ _service { sdl } }" });
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  return parse((await answer.json()).data._service.sdl);
}

async function main([ours, ...queries]) {
  const { url, server } = await serveNotes();
  const services = [];
  for (const [name, at] of [["shop", ours], ["notes", url]]) services.push({ name, url: at, typeDefs: await schemaOf(at) });
  const composed = composeServices(services);
  if (!composed.supergraphSdl) throw new Error(composed.errors.map(({ message }) => message).join("\n"));
  let asked = [];
  const schema = getStitchedSchemaFromSupergraphSdl({
    supergraphSdl: composed.supergraphSdl,
    httpExecutorOpts: ({ name }) => ({
      fetch: (to, options, ...rest) => {
        const { query, variables } = JSON.parse(options.body);
        asked.push({ name: name.toLowerCase(), entities: /_entities/.test(query), variables: variables ?? {} });
        return fetch(to, options, ...rest);
      },
    }),
    batch: true,
  });
  const told = [];
  for (const source of queries) {
    asked = [];
    const answer = await graphql({ schema, source });
    told.push({ answer, asked });
  }
  server.close();
  server.closeAllConnections();
  return told;
}

main(process.argv.slice(2)).then(
  (told) => process.stdout.write(JSON.stringify(told)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);

// GraphiQL for the graph at the address of the page itself.
import { GraphiQL } from "graphiql";
import "graphiql/graphiql.css";
import { createRoot } from "react-dom/client";
import "./page.css";

const FIRST = `# Ctrl-Enter runs what stands here.
# A token goes below, as a header:
#   {"Authorization": "Bearer ..."}

{
  __typename
}
`;

/** Sends what is typed to the page's own address; what is no JSON is shown as its status and its text. */
async function ask(request, options) {
  const headers = new Headers(options?.headers);
  // Last, so that no typed header makes a request of another kind out of it.
  headers.set("Accept", "application/graphql-response+json, application/json;q=0.9");
  headers.set("Content-Type", "application/json");
  const answer = await fetch(location.pathname + location.search, { method: "POST", headers, body: JSON.stringify(request) });
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `${answer.status} ${answer.statusText}`.trim(), extensions: { body: text } }] };
  }
}

const root = createRoot(document.getElementById("graphiql"));
// Headers hold tokens: they are never kept in the browser, and nobody can choose that they are.
root.render(<GraphiQL fetcher={ask} defaultQuery={FIRST} shouldPersistHeaders={false} showPersistHeadersSettings={false} />);

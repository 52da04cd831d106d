// urql in a page: a client as applications have it, with its own cache and its own automatic persisted queries.
import { cacheExchange, Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

/**
 * Runs an operation with a client of its own. `kind` is query or mutation; `persisted` the method by which what is known by its hash is asked for.
 * The answer as the client gives it, and what it sent for it.
 */
export async function ask({ kind = "query", text, variables = {}, headers = {}, persisted }) {
  const sent = [];
  const client = new Client({
    url: `${location.origin}/graphql`,
    preferGetMethod: false,
    fetchOptions: { headers },
    fetch: (url, options) => {
      const request = options.method === "GET" ? Object.fromEntries(new URL(url).searchParams) : JSON.parse(options.body);
      sent.push([options.method, "query" in request ? "text" : "hash"]);
      return fetch(url, options);
    },
    exchanges: [
      cacheExchange,
      ...(persisted ? [persistedExchange({ preferGetForPersistedQueries: persisted === "GET", enableForMutation: true })] : []),
      fetchExchange,
    ],
  });
  const { data, error } = await client[kind](text, variables).toPromise();
  const errors = error?.graphQLErrors.map(({ message, path, extensions }) => ({ message, path, extensions }));
  return { data: data ?? null, errors: errors ?? [], network: error?.networkError?.message ?? null, sent };
}

// The graph that every server here has: its schema, and resolvers over the origin. Objects by their keys are looked up once a request.
const DataLoader = require("dataloader");
const { Pool } = require("undici");

const origin = new Pool(`http://127.0.0.1:${process.env.ORIGIN_PORT}`, { connections: 256 });

async function get(path) {
  const { statusCode, body } = await origin.request({ path, method: "GET", headers: { accept: "application/json" } });
  if (statusCode !== 200) {
    await body.dump();
    throw new Error(`status ${statusCode}`);
  }
  return body.json();
}

exports.schema = `
  type Query { account(id: ID!): Account cart(id: ID!): Cart posts: [Post!]! }
  type Account { id: ID! name: String! email: String city: String }
  type Cart { id: ID! total: Int! items: [Item!]! }
  type Item { sku: ID! count: Int! }
  type Post { id: Int! userId: Int! title: String! user: Person }
  type Person { id: Int! name: String! email: String }
`;

exports.resolvers = {
  Query: {
    account: (_, { id }) => get(`/api/v1/accounts/${encodeURIComponent(id)}`),
    cart: (_, { id }) => get(`/api/v1/carts/${encodeURIComponent(id)}`),
    posts: () => get("/api/v1/posts"),
  },
  Post: { user: (post, _, { people }) => people.load(post.userId) },
};

exports.context = async () => ({
  people: new DataLoader((ids) => Promise.all(ids.map((id) => get(`/api/v1/people/${id}`)))),
});

exports.port = Number(process.env.GATEWAY_PORT);

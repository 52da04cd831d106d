// mercurius with its compiler of queries on.
const fastify = require("fastify");
const mercurius = require("mercurius");
const { schema, resolvers, context, port } = require("./shop.cjs");

const app = fastify();
app.register(mercurius, { schema, resolvers, context, jit: 1 });
app.listen({ host: "127.0.0.1", port });

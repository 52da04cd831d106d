// Apollo Server on Fastify, as its own integration puts it there.
const { ApolloServer } = require("@apollo/server");
const { fastifyApolloDrainPlugin, fastifyApolloHandler } = require("@as-integrations/fastify");
const fastify = require("fastify");
const { schema, resolvers, context, port } = require("./shop.cjs");

async function main() {
  const app = fastify();
  const server = new ApolloServer({ typeDefs: schema, resolvers, introspection: false, plugins: [fastifyApolloDrainPlugin(app)] });
  await server.start();
  app.post("/graphql", fastifyApolloHandler(server, { context }));
  await app.listen({ host: "127.0.0.1", port });
}

main();

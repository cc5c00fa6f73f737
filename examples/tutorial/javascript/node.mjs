// Alice on Node writes to Bob.
import { connect } from "@nats-io/transport-node";
import { Client } from "./chat.mjs";

export async function connectNode(client, servers, password) {
  await client.start(await connect({ servers, ...Client.options(client.userID, password) }));
}

if (import.meta.filename === process.argv[1]) {
  const alice = new Client("alice", "laptop");
  await connectNode(alice, process.env.NATS_URL ?? "nats://127.0.0.1:4222", "alice-secret");
  await alice.send("bob", "Hello, Bob!");
  await alice.close();
}

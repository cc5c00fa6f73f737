// `make demo-web`: a nats-server, a peerd and the page, with a link for alice and one for bob.
// Ctrl-C stops all, and leaves nothing behind.
import { Servers, linkOf, staticUsers } from "./servers.mjs";

const stopped = new Promise((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, resolve);
});

console.log("starting a nats-server, a peerd and the page …");
const users = staticUsers();
const servers = await Servers.start(users);
try {
  const page = await servers.servePage();
  const server = servers.webSocketUrl;
  const link = (user, name) =>
    linkOf(page, { user, name, server, password: users.passwords[user] });
  console.log(`
Open the first link in one window, and the second in another:

  Alice  ${link("alice", "Alice")}

  Bob    ${link("bob", "Bob")}

Begin a conversation with the user ID of the other: alice or bob.
Ctrl-C ends all and removes the messages.
`);
  await Promise.race([stopped, servers.ended()]);
} finally {
  await servers.stop();
}
console.log("All have ended, and the store is gone.");

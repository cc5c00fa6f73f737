// Bob in a browser: shows what Alice writes, and answers.
import { wsconnect } from "@nats-io/nats-core";
import { Client, MessagePack } from "./chat.mjs";

export { Client, MessagePack };

export async function connectBrowser(client, servers, password) {
  await client.start(await wsconnect({ servers, ...Client.options(client.userID, password) }));
}

// The page calls this; see public/index.html.
export async function showChat(document, servers) {
  const bob = new Client("bob", "browser");
  const list = document.querySelector("#messages");
  await connectBrowser(bob, servers, "bob-secret");
  const show = () => {
    list.replaceChildren(
      ...bob.history("alice").map(({ senderUserID, message }) => {
        const line = document.createElement("li");
        line.textContent = `${senderUserID}: ${message}`;
        return line;
      }),
    );
  };
  bob.onChange = show;
  show();
  const form = document.querySelector("form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = form.elements.text;
    await bob.send("alice", input.value);
    input.value = "";
  });
  return bob;
}

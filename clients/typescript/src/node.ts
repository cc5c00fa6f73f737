// The entry of the package for Node: NATS over TCP or TLS, and over WebSocket for such addresses.
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { setEnvironment } from "./zim.js";

/** Names of the SDK, by those of Node. */
const PLATFORMS: Readonly<Record<string, string>> = {
  win32: "win",
  darwin: "macos",
  linux: "linux",
  android: "android",
};

setEnvironment({
  connect: (options) => {
    const servers = [options.servers ?? []].flat();
    const isWebSocket = servers.some((server) => /^wss?:/.test(server));
    return isWebSocket ? wsconnect(options) : connect(options);
  },
  platform: PLATFORMS[process.platform] ?? "",
});

export * from "./index.js";

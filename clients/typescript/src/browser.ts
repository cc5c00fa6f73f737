// The entry of the package for browsers: NATS over WebSocket.
import { wsconnect } from "@nats-io/nats-core";
import { setEnvironment } from "./zim.js";

setEnvironment({ connect: wsconnect, platform: "web" });

export * from "./index.js";

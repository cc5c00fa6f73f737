// The servers of a test, and how fast users may send.
import { Peerd } from "../src/testing.js";
import type { Login, Nats, Options } from "../src/testing.js";

export { Nats, Peerd, until } from "../src/testing.js";

/** The rate is a matter of peerd's own tests; here it would only make them slow. */
const FAST = { "limits.messages_per_second": 2000, "limits.amendments_per_second": 1000 };

/** A peerd without a rate, unless `options` has one. */
export const startPeerd = (nats: Nats, options: Options = {}, login: Login = {}): Promise<Peerd> =>
  Peerd.start(nats, { ...FAST, ...options }, login);

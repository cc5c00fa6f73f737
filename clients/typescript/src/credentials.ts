// How a user proves its identity to NATS.
import {
  credsAuthenticator,
  jwtAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/nats-core";
import type { Auth, Authenticator } from "@nats-io/nats-core";

/**
 * One of:
 * - `token`: a NATS token (with an auth callout, for example), the text of a .creds file, or a
 *   bearer JWT of NATS. What it is, is recognized;
 * - `user` and `password`;
 * - `creds`: the text of a .creds file (JWT and seed);
 * - `authenticator`: a function of @nats-io/nats-core, for all else.
 */
export interface Credentials {
  token?: string;
  /** The userID, unless given. */
  user?: string;
  password?: string;
  creds?: string;
  authenticator?: Authenticator;
}

const CREDS = "-----BEGIN NATS USER JWT-----";
const text = new TextEncoder();

const decodePart = (part: string): Record<string, unknown> =>
  JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as Record<string, unknown>;

/** The JWT in a token, if there is one. */
function jwtIn(token: string): string | undefined {
  if (token.includes(CREDS)) return /-----BEGIN NATS USER JWT-----\s*(\S+)/.exec(token)?.[1];
  const parts = token.split(".");
  return parts.length === 3 && token.startsWith("eyJ") ? token : undefined;
}

/** When credentials expire, in ms since 1970; undefined if they do not say so. */
export function expiryOf(credentials: Credentials): number | undefined {
  const jwt = jwtIn(credentials.creds ?? credentials.token ?? "");
  if (!jwt) return undefined;
  try {
    const { exp } = decodePart(jwt.split(".")[1] ?? "");
    return typeof exp === "number" && exp > 0 ? exp * 1000 : undefined;
  } catch {
    return undefined; // Some other token with two dots.
  }
}

function isNatsJwt(jwt: string): boolean {
  try {
    const algorithm = decodePart(jwt.split(".")[0] ?? "")["alg"];
    return typeof algorithm === "string" && algorithm.startsWith("ed25519");
  } catch {
    return false;
  }
}

function authenticatorOf(credentials: Credentials, userID: string): Authenticator | undefined {
  const { token, user, password, creds, authenticator } = credentials;
  if (authenticator) return authenticator;
  const file = creds ?? (token?.includes(CREDS) ? token : undefined);
  if (file) return credsAuthenticator(text.encode(file));
  if (password !== undefined) return usernamePasswordAuthenticator(user ?? userID, password);
  if (!token) return undefined;
  return isNatsJwt(token) ? jwtAuthenticator(token) : tokenAuthenticator(token);
}

/** Authenticates with the credentials of the moment of each connect, which `renewToken` changes. */
export function authenticate(current: () => Credentials, userID: string): Authenticator {
  return (nonce?: string): Auth => authenticatorOf(current(), userID)?.(nonce) ?? undefined;
}

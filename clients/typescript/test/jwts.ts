// JWTs of NATS: an operator, its accounts, and users whose credentials expire.
import { createAccount, createOperator, createUser } from "@nats-io/nkeys";
import type { KeyPair } from "@nats-io/nkeys";

const base64url = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function sign(issuer: KeyPair, subject: KeyPair, nats: object, expiresAtS?: number): string {
  const claims = {
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: "test",
    ...(expiresAtS && { exp: expiresAtS }),
    nats: { ...nats, version: 2 },
  };
  const head = { typ: "JWT", alg: "ed25519-nkey" };
  const body = `${base64url(head)}.${base64url(claims)}`;
  const signature = issuer.sign(new TextEncoder().encode(body));
  return `${body}.${Buffer.from(signature).toString("base64url")}`;
}

const LIMITS = { subs: -1, data: -1, payload: -1 };
const ACCOUNT_LIMITS = {
  ...LIMITS,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: -1,
  mem_storage: -1,
  disk_storage: -1,
  streams: -1,
  consumer: -1,
};

/** The operator of a nats-server, with one account for peerd and its users. */
export class Operator {
  readonly #operator = createOperator();
  readonly #system = createAccount();
  readonly #account = createAccount();

  /** The part of the nats-server's configuration. */
  get configuration(): string {
    const account = (of: KeyPair, limits: object): string =>
      sign(this.#operator, of, { type: "account", limits });
    const system = this.#system.getPublicKey();
    return `
      operator: "${sign(this.#operator, this.#operator, { type: "operator" })}"
      system_account: ${system}
      resolver: MEMORY
      resolver_preload: {
        ${system}: "${account(this.#system, { ...ACCOUNT_LIMITS, mem_storage: 0, disk_storage: 0 })}"
        ${this.#account.getPublicKey()}: "${account(this.#account, ACCOUNT_LIMITS)}"
      }`;
  }

  /** The text of a .creds file, for any subject if no user is named. */
  creds(userID?: string, lifetimeS?: number): string {
    const user = createUser();
    const subscribe = [`peer.event.${userID}.>`, `_INBOX_${userID}.>`];
    const allowed = userID
      ? { pub: { allow: [`peer.api.${userID}.>`] }, sub: { allow: subscribe } }
      : { pub: {}, sub: {} };
    const expiresAtS = lifetimeS && Math.floor(Date.now() / 1000) + lifetimeS;
    const jwt = sign(this.#account, user, { type: "user", ...LIMITS, ...allowed }, expiresAtS);
    const seed = new TextDecoder().decode(user.getSeed());
    const part = (name: string, text: string): string =>
      `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;
    return part("NATS USER JWT", jwt) + part("USER NKEY SEED", seed);
  }
}

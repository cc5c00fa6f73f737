// Users with tokens: JWTs of NATS, which expire.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeAccount, encodeOperator, encodeUser, fmtCreds } from "@nats-io/jwt";
import { createAccount, createOperator, createUser } from "@nats-io/nkeys";
import { credsAuthenticator } from "@nats-io/transport-node";

const ALL = { conn: -1, leaf: -1, subs: -1, data: -1, payload: -1, imports: -1, exports: -1 };
const STORE = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/** An operator and an account of their own, each time. */
export async function tokenUsers() {
  const operator = createOperator();
  const signed = { signer: operator };
  const account = createAccount();
  const system = createAccount();
  const limits = { ...ALL, ...STORE, wildcards: true };
  const accountJwt = await encodeAccount("test", account, { limits }, signed);
  const systemJwt = await encodeAccount("SYS", system, {}, signed);
  const systemAccount = { system_account: system.getPublicKey() };
  const operatorJwt = await encodeOperator("test", operator, systemAccount);
  const creds = async (name) => {
    const user = createUser();
    return fmtCreds(await encodeUser(name, user, account), user);
  };
  const ofPeerd = await creds("peerd");
  const ofOperator = await creds("operator");
  return {
    configuration: () => `
      operator: "${operatorJwt}"
      resolver: MEMORY
      resolver_preload {
        ${account.getPublicKey()}: "${accountJwt}"
        ${system.getPublicKey()}: "${systemJwt}"
      }`,
    peerd: (folder) => {
      const file = join(folder, "peerd.creds");
      writeFileSync(file, ofPeerd, { mode: 0o600 });
      return { "nats.credentials_file": file };
    },
    login: () => ({ authenticator: credsAuthenticator(ofOperator) }),
    /** A token that is valid for so many seconds, with the rights of the user. */
    token: (name, seconds) =>
      encodeUser(
        name,
        createUser(),
        account,
        {
          bearer_token: true,
          pub: { allow: [`peer.api.${name}.>`] },
          sub: { allow: [`peer.event.${name}.>`, `_INBOX_${name}.>`] },
        },
        { exp: Math.floor(Date.now() / 1000) + seconds },
      ),
  };
}

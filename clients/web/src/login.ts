// The login: from the link that opened the page, or from the form.

export interface Login {
  user: string;
  /** Address of a nats-server: `ws://` or `wss://`. */
  server: string;
  token?: string;
  password?: string;
  /** The name that others see. */
  name?: string;
}

/** Kept for this tab only, so that a reload stays logged in. Logging out removes it. */
const KEPT = "peerd.web.login";

/**
 * The login in the fragment of the address (`#user=…&server=…&token=…` or `&password=…`), else the
 * one of this tab. A fragment is never sent to a server; it is removed from the address bar and the
 * history at once, so that a copied address or a screenshot does not show it.
 */
export function takeLogin(): Login | undefined {
  const given = new URLSearchParams(location.hash.slice(1));
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  const user = given.get("user");
  const server = given.get("server");
  if (!user || !server) return keptLogin();
  const login: Login = { user, server };
  for (const field of ["token", "password", "name"] as const) {
    const value = given.get(field);
    if (value) login[field] = value;
  }
  keepLogin(login);
  return login;
}

function keptLogin(): Login | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "") as Login;
  } catch {
    return undefined;
  }
}

export function keepLogin(login: Login): void {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(login));
  } catch {
    // A page may be denied its storage: then a reload asks for the login.
  }
}

export function forgetLogin(): void {
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // See above.
  }
}

// Subjects of NATS.

/** The subject token of a userID: percent-encoded, the dot too, with upper-case hex. */
export function token(userID: string): string {
  const hex = (character: string): string =>
    "%" + character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
  return encodeURIComponent(userID).replace(/[.!*'()]/g, hex);
}

/** The subjects of one user. */
export class Subjects {
  readonly #user: string;

  constructor(
    private readonly prefix: string,
    userID: string,
  ) {
    this.#user = token(userID);
  }

  call(method: string): string {
    return `${this.prefix}.api.${this.#user}.${method}`;
  }

  get events(): string {
    return `${this.prefix}.event.${this.#user}.*`;
  }

  /** Each user needs one of its own, or could read the replies to others. */
  get inbox(): string {
    return `_INBOX_${this.#user}`;
  }
}

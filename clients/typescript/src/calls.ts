// Calls: encoding, repeats, and the shape of results.
import { Backoff, pause } from "./backoff.js";
import { complete } from "./complete.js";
import type { Connection } from "./connection.js";
import { ENCODINGS } from "./encoding.js";
import { PeerError, Unanswered, networkError, notLoggedIn, timedOut, tooMany } from "./errors.js";
import type { ZIMError } from "./errors.js";
import type { Method, Requests } from "./generated/requests.js";
import { MAX_CALLS } from "./options.js";
import type { Settings } from "./options.js";
import { ZIMErrorCode } from "./types/codes.js";

export interface CallOptions {
  /** Milliseconds for all attempts together. Default: `callTimeoutMs`. */
  withinMs?: number;
  /** false: not repeated if it may have taken effect. */
  isRepeatable?: boolean;
  /** true: a part of the login or of catching up, which the session itself does. */
  isOfSession?: boolean;
  /** Ends the call early, like the end of the session. */
  signal?: AbortSignal;
  /** Changes the body of a repeat; gets the milliseconds since the first attempt. */
  bodyOfRepeat?: (ageMs: number) => Requests[Method];
}

/** The session, as far as calls need it. */
export interface CallGate {
  /** Aborts when the session has ended. */
  readonly ended: AbortSignal;
  /** Resolves when calls can be made; rejects once the session has ended. */
  ready(signal: AbortSignal): Promise<void>;
  /** Logs in again, after peerd answered that the user has no session. */
  loginAgain(): Promise<void>;
}

/** Refused for a reason that passes. */
const PASSING = new Set(["rate_limited", "overloaded", "store_unavailable", "outcome_unknown"]);

export class Calls {
  #underWay = 0;

  constructor(
    private readonly connection: Connection,
    private readonly settings: Settings,
    private readonly gate: CallGate,
  ) {}

  /**
   * Calls a method, and repeats it until it succeeds, is refused for good, or the time is over.
   * `Result` is the reply with its defaults filled in.
   */
  async call<Result, M extends Method = Method>(
    method: M,
    body: Requests[M],
    options: CallOptions = {},
  ): Promise<Result> {
    if (this.#underWay >= MAX_CALLS) throw tooMany(`${MAX_CALLS} calls are not answered yet`);
    this.#underWay += 1;
    const withinMs = options.withinMs ?? this.settings.callTimeoutMs;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), withinMs);
    const stop = (): void => deadline.abort();
    const stops = [this.gate.ended, options.signal].filter((signal) => signal !== undefined);
    for (const signal of stops) {
      signal.addEventListener("abort", stop);
      if (signal.aborted) stop();
    }
    try {
      return (await this.#repeat(method, body, options, deadline.signal)) as Result;
    } finally {
      clearTimeout(timer);
      for (const signal of stops) signal.removeEventListener("abort", stop);
      this.#underWay -= 1;
    }
  }

  async #repeat(
    method: Method,
    first: unknown,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<unknown> {
    const backoff = new Backoff();
    const began = Date.now();
    let body = first;
    let isInDoubt = false;
    let failure: Error | undefined;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      if (!options.isOfSession) await this.gate.ready(signal);
      if (signal.aborted) break;
      if (attempt > 1 && options.bodyOfRepeat) body = options.bodyOfRepeat(Date.now() - began);
      try {
        return await unlessAborted(this.#once(method, body), signal);
      } catch (error) {
        const verdict = judge(error, isInDoubt);
        const isRepeatable = (options.isRepeatable ?? true) || !verdict.isInDoubt;
        if (!verdict.isPassing || !isRepeatable) throw verdict.error;
        isInDoubt ||= verdict.isInDoubt;
        failure = verdict.error;
      }
      if (isNotLoggedIn(failure)) {
        if (options.isOfSession) throw failure;
        await this.gate.loginAgain();
      }
      const least = failure instanceof PeerError ? (failure.retryAfterMs ?? 0) : 0;
      await pause(Math.max(least, backoff.next()), signal);
    }
    throw this.gate.ended.aborted ? notLoggedIn() : (failure ?? networkError("not connected"));
  }

  async #once(method: Method, body: unknown): Promise<unknown> {
    const encoding = ENCODINGS[this.settings.encoding];
    const answer = await this.connection.request(method, encoding, body);
    if (answer.isFailure) throw new PeerError(answer.body as ZIMError);
    return complete(answer.body);
  }
}

/** An attempt that is not answered when the time is over has an unknown outcome. */
function unlessAborted<T>(attempt: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new Unanswered("no reply in time", true));
    signal.addEventListener("abort", stop);
    attempt.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

const isNotLoggedIn = (error: Error): boolean =>
  error instanceof PeerError && error.code === ZIMErrorCode.NetworkModuleUserIsNotLogged;

/** What follows from the failure of an attempt. */
function judge(
  error: unknown,
  wasInDoubt: boolean,
): { error: Error; isPassing: boolean; isInDoubt: boolean } {
  if (error instanceof Unanswered) {
    const shown = error.isUnknownOutcome ? timedOut(error.message) : networkError(error.message);
    return { error: shown, isPassing: true, isInDoubt: error.isUnknownOutcome };
  }
  if (error instanceof PeerError) {
    const isPassing = PASSING.has(error.reason) || isNotLoggedIn(error);
    const shown = wasInDoubt ? new PeerError(error, true) : error;
    return { error: shown, isPassing, isInDoubt: error.reason === "outcome_unknown" };
  }
  const other = error instanceof Error ? error : new Error(String(error));
  return { error: other, isPassing: false, isInDoubt: false };
}

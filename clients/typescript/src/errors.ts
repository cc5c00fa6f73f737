// Errors of calls.
import { ZIMErrorCode } from "./types/codes.js";

/** An error as the SDK shows it, with peerd's own fields. */
export interface ZIMError {
  code: ZIMErrorCode;
  message: string;
  /** Stable word for programs, see "Errors" in docs/protocol.md. */
  reason?: string;
  /** Milliseconds after which a repeat makes sense. */
  retryAfterMs?: number;
}

/** The error with which each call rejects. */
export class PeerError extends Error implements ZIMError {
  readonly code: ZIMErrorCode;
  readonly reason: string;
  readonly retryAfterMs?: number;
  /** An earlier attempt of the call was not answered: it may have taken effect. */
  readonly isAfterUnknownOutcome: boolean;

  constructor(error: ZIMError, isAfterUnknownOutcome = false) {
    super(error.message);
    this.name = "PeerError";
    this.code = error.code;
    this.reason = error.reason ?? "client";
    if (error.retryAfterMs !== undefined) this.retryAfterMs = error.retryAfterMs;
    this.isAfterUnknownOutcome = isAfterUnknownOutcome;
  }
}

const failure = (code: ZIMErrorCode, reason: string, message: string): PeerError =>
  new PeerError({ code, reason, message });

/** A parameter that this client refuses by itself. */
export const invalid = (message: string): PeerError =>
  failure(ZIMErrorCode.CommonModuleParamsInvalid, "invalid_parameter", message);

export const unsupported = (method: string): PeerError =>
  failure(
    ZIMErrorCode.CommonModuleUnsupportedRequest,
    "unsupported_method",
    `${method} is not supported`,
  );

export const notLoggedIn = (): PeerError =>
  failure(ZIMErrorCode.NetworkModuleUserIsNotLogged, "not_logged_in", "not logged in");

export const tokenRefused = (message: string): PeerError =>
  failure(ZIMErrorCode.NetworkModuleTokenInvalid, "credentials_refused", message);

export const networkError = (message: string): PeerError =>
  failure(ZIMErrorCode.NetworkModuleNetworkError, "network_error", message);

export const timedOut = (message: string): PeerError =>
  failure(ZIMErrorCode.NetworkModuleRequestTimeout, "timeout", message);

/** A bound of this client was reached. */
export const tooMany = (message: string): PeerError =>
  failure(ZIMErrorCode.CommonModuleTriggerSDKFrequencyLimit, "client_limit", message);

/** A request without an answer. Whether it was performed is unknown, unless nobody received it. */
export class Unanswered extends Error {
  constructor(
    message: string,
    readonly isUnknownOutcome: boolean,
  ) {
    super(message);
    this.name = "Unanswered";
  }
}

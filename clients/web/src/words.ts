// Errors in words: what happened, and what to do.
import { PeerError, ZIMErrorCode } from "@peerd/client";

export interface Words {
  title: string;
  advice: string;
}

const BY_REASON: Readonly<Record<string, Words>> = {
  credentials_refused: {
    title: "The login was refused",
    advice: "The token or password is wrong or has expired. Open a new link, or correct it below.",
  },
  rate_limited: {
    title: "Too fast",
    advice: "You reached the limit for now. Wait a second, then try again.",
  },
  overloaded: { title: "The service is busy", advice: "Nothing was done. Try again in a moment." },
  store_unavailable: {
    title: "The service cannot store anything at the moment",
    advice: "Try again later. If it stays, tell the operator.",
  },
  outcome_unknown: {
    title: "No answer in time",
    advice: "It may have worked. Try again: a message is stored once.",
  },
  blocked_by_receiver: {
    title: "This person does not take messages from you",
    advice: "The message was not delivered.",
  },
  target_not_found: {
    title: "There is no such user",
    advice: "Check the user ID. The person must have logged in once.",
  },
  too_late_to_revoke: {
    title: "Too late to remove it for both",
    advice: "This is possible for two minutes. You can still delete it for yourself.",
  },
  too_late_to_edit: {
    title: "Too late to edit",
    advice: "A message can be edited for a day. Send a new one instead.",
  },
  too_late_to_react: {
    title: "Too late to react",
    advice: "Reactions are possible for seven days. Reply to the message instead.",
  },
  edited_meanwhile: {
    title: "The message changed meanwhile",
    advice: "Look at it again, then decide.",
  },
  message_revoked: { title: "The message was removed", advice: "Its sender removed it." },
  too_many_pinned_messages: {
    title: "Ten messages are pinned",
    advice: "Unpin one of them first.",
  },
  pinned_list_full: { title: "100 conversations are pinned", advice: "Unpin one of them first." },
  muted_list_full: { title: "1,000 conversations are muted", advice: "Unmute one of them first." },
  client_limit: {
    title: "Too much is waiting",
    advice: "Wait until the connection is back and the messages are sent.",
  },
};

const BY_CODE: Readonly<Record<number, Words>> = {
  [ZIMErrorCode.NetworkModuleNetworkError]: {
    title: "No connection",
    advice: "The server cannot be reached. Check your network and the address of the server.",
  },
  [ZIMErrorCode.NetworkModuleRequestTimeout]: {
    title: "No answer in time",
    advice: "The server is slow or cannot be reached. Try again.",
  },
  [ZIMErrorCode.NetworkModuleUserIsNotLogged]: {
    title: "You are logged out",
    advice: "Log in again.",
  },
};

/** What to show for a failed call. */
export function inWords(error: unknown): Words {
  if (!(error instanceof PeerError)) {
    const text = error instanceof Error ? error.message : String(error);
    return { title: "Something went wrong", advice: text };
  }
  const known = BY_REASON[error.reason] ?? BY_CODE[error.code];
  if (known) return known;
  return { title: "This was refused", advice: `${error.message} (${error.code})` };
}

export const KICKED: Words = {
  title: "You were logged out here",
  advice: "You logged in on too many devices, and this was the oldest. Log in again to go on here.",
};
export const EXPIRED: Words = {
  title: "Your login has expired",
  advice: "Get a new link or token, and log in again. Nothing that was sent is lost.",
};
export const INTERRUPTED: Words = {
  title: "The connection was closed",
  advice: "Log in again to go on.",
};

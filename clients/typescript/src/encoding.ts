// The two encodings of bodies.
import { decode, encode } from "@msgpack/msgpack";

/** The name of an encoding in the options. */
export type EncodingName = "json" | "msgpack";

/** Writes and reads bodies. */
export interface Encoding {
  readonly contentType: string;
  encode(body: unknown): Uint8Array;
  decode(data: Uint8Array): unknown;
}

const text = new TextEncoder();
const texts = new TextDecoder();

/** Bytes as base64, in pieces that fit into the arguments of a call. */
function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(binary);
}

/** The bytes of a base64 text. */
export function fromBase64(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

const json: Encoding = {
  contentType: "application/json",
  encode: (body) =>
    text.encode(
      JSON.stringify(body, (_, value: unknown) =>
        value instanceof Uint8Array ? toBase64(value) : value,
      ),
    ),
  decode: (data) => JSON.parse(texts.decode(data)) as unknown,
};

const msgpack: Encoding = {
  contentType: "application/msgpack",
  // `undefined` is a field that was left out, as in JSON.
  encode: (body) => encode(body, { ignoreUndefined: true }),
  decode: (data) => decode(data),
};

/** The encodings by their names. */
export const ENCODINGS: Readonly<Record<EncodingName, Encoding>> = { json, msgpack };

/** The encoding of a reply or an event. MessagePack unless the header says JSON. */
export function encodingOf(contentType: string | undefined): Encoding {
  return contentType === json.contentType ? json : msgpack;
}

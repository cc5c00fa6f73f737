// What a message says, by its type. Nothing is loaded from elsewhere unless the user asks for it.
import { useState } from "preact/hooks";
import { ZIMMessageType } from "@peerd/client";
import type {
  ZIMCombineMessage,
  ZIMMediaMessage,
  ZIMMessage,
  ZIMMultipleMessage,
  ZIMTextMessage,
} from "@peerd/client";
import { bytesOf, lineOf, mediaNameOf } from "../format.js";
import { Icon } from "./icons.js";

export function Content({ message }: { message: ZIMMessage }) {
  if (message.isContentOmitted) return <p class="note">This message is too large to be shown.</p>;
  switch (message.type) {
    case ZIMMessageType.Text:
      return <Text text={(message as ZIMTextMessage).message} />;
    case ZIMMessageType.Revoke:
      return <p class="note">Message removed</p>;
    case ZIMMessageType.Image:
    case ZIMMessageType.File:
    case ZIMMessageType.Audio:
    case ZIMMessageType.Video:
      return <Media message={message as ZIMMediaMessage} />;
    case ZIMMessageType.Combine:
      return <Combine message={message as ZIMCombineMessage} />;
    case ZIMMessageType.Multiple:
      return (
        <>
          {(message as ZIMMultipleMessage).messageInfoList.map((item) => (
            <Content message={item} />
          ))}
        </>
      );
    default:
      return <p class="note">{lineOf(message)}</p>;
  }
}

const LINK = /(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]}'])/g;

function Text({ text }: { text: string }) {
  // With the group in the pattern, every second part is a link.
  const parts = text.split(LINK);
  return (
    <p class="text">
      {parts.map((part, index) => (index % 2 ? <Link url={part}>{part}</Link> : part))}
    </p>
  );
}

function Link({ url, children }: { url: string; children: string }) {
  return (
    <a href={url} target="_blank" rel="noopener noreferrer" tabIndex={-1}>
      {children}
    </a>
  );
}

/** The address, if a browser may open it: a sender could name any scheme. */
function safe(url: string | undefined): URL | undefined {
  try {
    const parsed = new URL(url ?? "");
    return parsed.protocol === "https:" || parsed.protocol === "http:" ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function Media({ message }: { message: ZIMMediaMessage }) {
  const [isShown, setShown] = useState(false);
  const url = safe(message.fileDownloadUrl);
  const kind = mediaNameOf(message.type) ?? "File";
  const name = message.fileName || kind;
  if (!url) return <p class="note">{kind} without a usable address</p>;
  if (isShown) return <Player message={message} url={url.href} name={name} />;
  const size = message.fileSize ? `${bytesOf(message.fileSize)} · ` : "";
  return (
    <div class="media">
      <span class="media-icon" aria-hidden="true">
        <Icon name={message.type === ZIMMessageType.Image ? "image" : "file"} />
      </span>
      <span class="media-text">
        <span class="media-name">{name}</span>
        <span class="media-from">
          {size}
          {url.host}
        </span>
      </span>
      {message.type === ZIMMessageType.File ? (
        <a class="media-open" href={url.href} target="_blank" rel="noopener noreferrer">
          Open
        </a>
      ) : (
        <button
          type="button"
          class="media-open"
          title={`Loads it from ${url.host}, which then sees your address`}
          onClick={() => setShown(true)}
        >
          Show
        </button>
      )}
    </div>
  );
}

function Player({ message, url, name }: { message: ZIMMediaMessage; url: string; name: string }) {
  const [hasFailed, setFailed] = useState(false);
  const onError = (): void => setFailed(true);
  if (hasFailed) {
    return (
      <p class="note">
        {name} could not be loaded. <Link url={url}>Open it</Link>
      </p>
    );
  }
  switch (message.type) {
    case ZIMMessageType.Image:
      return <img class="picture" src={url} alt={name} onError={onError} />;
    case ZIMMessageType.Audio:
      return <audio controls src={url} onError={onError} aria-label={name} />;
    default:
      return <video class="picture" controls src={url} onError={onError} aria-label={name} />;
  }
}

function Combine({ message }: { message: ZIMCombineMessage }) {
  return (
    <details class="combine">
      <summary>
        <strong>{message.title || "Forwarded messages"}</strong>
        <span>{message.summary}</span>
      </summary>
      <ul>
        {message.messageList.map((one) => (
          <li>
            <strong>{one.senderUserID}</strong> {lineOf(one)}
          </li>
        ))}
      </ul>
    </details>
  );
}

// A user's initial on a colour of its own. A picture would be a request to some other server.
const HUES = 8;

function hueOf(userID: string): number {
  // FNV-1a: users whose IDs are alike get different colours, too.
  let hash = 0x811c9dc5;
  for (const letter of userID) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return (hash >>> 13) % HUES;
}

export function Avatar(props: { userID: string; name: string; isOnline?: boolean }) {
  const [initial = "?"] = [...props.name.trim()];
  return (
    <span class="avatar" data-hue={hueOf(props.userID)} aria-hidden="true">
      {initial.toUpperCase()}
      {props.isOnline && <span class="avatar-online" />}
    </span>
  );
}

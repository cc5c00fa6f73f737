// A user's initial on a colour of its own. Pictures are not loaded: they would be requests to others.
const HUES = 8;

function hueOf(userID: string): number {
  let sum = 0;
  for (const letter of userID) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  return sum % HUES;
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

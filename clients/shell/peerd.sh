#!/usr/bin/env bash
# Calls of peerd with the nats command line and jq. NATS_URL and nats' other variables are used.
#
#     peerd.sh send alice bob 'Hello, Bob!'
#     peerd.sh history bob alice
#     peerd.sh watch bob
set -euo pipefail

# The subject token of a userID: percent-encoded, the dot too, with upper-case hex.
token() {
    jq -rn --arg id "$1" '$id | @uri | gsub("(?<c>[.!*\u0027()])"; {".": "%2E", "!": "%21",
        "*": "%2A", "\u0027": "%27", "(": "%28", ")": "%29"}[.c])'
}

# call USER METHOD BODY: repeats the call until it succeeds or is refused for good.
call() {
    local me reply pause=1
    me=$(token "$1")
    for _ in 1 2 3 4 5 6; do
        # nats expands {{…}} in bodies; in JSON, two braces in a row are a part of a text.
        if reply=$(nats --inbox-prefix "_INBOX_$me" --timeout 10s req --raw \
            -H Content-Type:application/json "peer.api.$me.$2" "${3//\{\{/\\u007b\\u007b}"); then
            case $(jq -r '.reason // ""' <<<"$reply") in
            rate_limited | overloaded | store_unavailable | outcome_unknown) ;;
            "") echo "$reply" && return ;;
            *) jq -r '"\(.reason): \(.message)"' <<<"$reply" >&2 && return 1 ;;
            esac
        fi
        sleep "$pause"
        pause=$((pause * 2))
    done
    echo "no answer to $2" >&2
    return 1
}

log_in() { call "$1" login '{"deviceID": "shell"}' >/dev/null; }

case ${1-} in
send) # FROM TO TEXT
    log_in "$2"
    body=$(jq -cn --arg to "$3" --arg text "$4" --arg id "$(date +%s)-$$-$RANDOM" \
        '{toUserID: $to, message: {type: 1, message: $text, localMessageID: $id}}')
    call "$2" send_peer_message "$body" | jq -r .message.messageID
    ;;
history) # USER PEER
    log_in "$2"
    body=$(jq -cn --arg of "$3" '{conversationID: $of, config: {count: 20, reverse: true}}')
    call "$2" query_history_message "$body" |
        jq -r '.messageList[] | "\(.senderUserID): \(.message)"'
    ;;
watch) # USER
    log_in "$2"
    nats sub --raw "peer.event.$(token "$2").peer_message_received" |
        jq --unbuffered -r '.messageList[] | "\(.senderUserID): \(.message)"'
    ;;
*) sed -n '4,6s/^#  *//p' "$0" >&2 && exit 2 ;;
esac

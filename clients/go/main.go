// A chat in the terminal with the NATS client alone: `go run . alice bob` writes as alice to bob.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

type object = map[string]any

// token is the subject token of a userID: percent-encoded, the dot too, with upper-case hex.
func token(user string) string {
	return strings.NewReplacer("+", "%20", ".", "%2E").Replace(url.QueryEscape(user))
}

// call repeats a call until it succeeds, is refused for good, or a minute is over.
func call(nc *nats.Conn, user, method string, body object) {
	msg := nats.NewMsg("peer.api." + token(user) + "." + method)
	msg.Data, _ = json.Marshal(body)
	msg.Header.Set("Content-Type", "application/json")
	var refused struct{ Reason, Message string }
	passing := "rate_limited overloaded store_unavailable outcome_unknown"
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Second / 2) {
		reply, err := nc.RequestMsg(msg, 10*time.Second)
		if err != nil {
			continue
		}
		_ = json.Unmarshal(reply.Data, &refused)
		if reply.Header.Get("Nats-Service-Error-Code") == "" {
			return
		} else if !strings.Contains(passing, refused.Reason) {
			break
		}
	}
	fmt.Fprintln(os.Stderr, "not done:", method, refused)
}

func main() {
	me, peer := os.Args[1], os.Args[2]
	logIn := func(nc *nats.Conn) { call(nc, me, "login", object{"deviceID": "go"}) }
	nc, _ := nats.Connect(os.Getenv("NATS_URL"), nats.CustomInboxPrefix("_INBOX_"+token(me)),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectHandler(logIn))
	_, _ = nc.Subscribe("peer.event."+token(me)+".peer_message_received", func(msg *nats.Msg) {
		fmt.Println(string(msg.Data))
	})
	_ = nc.Flush() // the server has the subscription before peerd replays what was missed
	logIn(nc)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		text := object{"type": 1, "message": lines.Text(), "localMessageID": nats.NewInbox()}
		call(nc, me, "send_peer_message", object{"toUserID": peer, "message": text})
	}
}

"""The status of users, and subscriptions of it, in both encodings."""

ONLINE, OFFLINE, LOGOUT = 0, 1, 2
UPDATED = "user_status_updated"


async def status_of(reader, user):
    reply = await reader.call("query_users_status", {"userIDs": [user.id]})
    assert reply["errorUserList"] == []
    [status] = reply["userStatusList"]
    return status


async def shown(follower, user, **expected):
    """The next status of a user that a follower is shown and that is as expected."""
    while True:
        event = await follower.event(UPDATED)
        for status in event["userStatusList"]:
            if status["userID"] == user.id and status.items() >= expected.items():
                return status


async def test_a_status_is_read_and_can_be_hidden(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        text = "Grüße aus dem Zug 👋🏽"
        reply = await alice.call("update_user_custom_status", {"customStatus": text})
        assert reply == {"customStatus": text}
        [own] = (await alice.event(UPDATED))["userStatusList"]
        assert await status_of(bob, alice) == own
        assert (own["onlineStatus"], own["customStatus"]) == (ONLINE, text)
        await alice.call("update_user_privacy", {"hideOnlineStatus": True})
        await alice.event("user_rule_updated")
        hidden = await status_of(bob, alice)
        assert (hidden["onlineStatus"], hidden["lastUpdateTime"]) == (OFFLINE, 0)
        assert await status_of(alice, alice) == own
        unknown = await bob.call("query_users_status", {"userIDs": ["nobody at all"]})
        errors = [{"userID": "nobody at all", "reason": 6000011}]
        assert unknown == {"userStatusList": [], "errorUserList": errors}


async def test_a_follower_is_shown_what_changes(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        body = {"userIDs": [bob.id], "config": {"subscriptionDuration": 60}}
        assert await alice.call("subscribe_users_status", body) == {"errorUserList": []}
        await shown(alice, bob, onlineStatus=ONLINE)
        await bob.call("update_user_custom_status", {"customStatus": "busy"})
        busy = await shown(alice, bob, customStatus="busy")
        followed = await alice.call("query_subscribed_user_status_list", {"config": {}})
        [entry] = followed["userStatusSubscriptionList"]
        assert entry["userStatus"] == busy
        await bob.call("logout")
        await shown(alice, bob, onlineStatus=LOGOUT)
        await alice.call("unsubscribe_users_status", {"userIDs": [bob.id]})
        followed = await alice.call("query_subscribed_user_status_list")
        assert followed == {"userStatusSubscriptionList": []}

"""The published Python Easy SDK talks through a real server: people, a group, flags, refusals, a kicked session."""

import asyncio
import json
import os
import urllib.request

from wukong_easy_sdk import WKIM, AuthOptions, WKIMChannelType, WKIMError, WKIMEvent, WKIMOptions

URL = "ws://" + os.environ["MUSHAN_ADDRESS"] + "/wukong"
PATIENCE_SECONDS = 10


def auth(user):
    """Always the same device: a new one would get what its user has been sent before."""
    return AuthOptions(uid=user, token=os.environ[f"MUSHAN_TOKEN_{user.upper()}"], device_id=f"{user}-python")


class Person:
    """One SDK client, and what it was told."""

    def __init__(self, user):
        self.client = WKIM(URL, auth(user))
        self.messages = asyncio.Queue()
        self.ends = asyncio.Queue()
        self.client.on(WKIMEvent.MESSAGE, self.messages.put_nowait)
        self.client.on(WKIMEvent.DISCONNECT, self.ends.put_nowait)

    async def __aenter__(self):
        await self.client.connect()
        return self

    async def __aexit__(self, *_):
        await self.client.destroy()

    async def hears(self):
        return await asyncio.wait_for(self.messages.get(), PATIENCE_SECONDS)

    async def hears_nothing(self):
        try:
            message = await asyncio.wait_for(self.messages.get(), 0.5)
        except TimeoutError:
            return
        raise AssertionError(f"heard {message}")


def create_group(name, owner, members):
    body = json.dumps({"id": name, "owner": owner, "members": members}).encode()
    request = urllib.request.Request(os.environ["MUSHAN_ADMIN_URL"] + "/v1/groups", data=body)
    request.add_header("Authorization", "Bearer " + os.environ["MUSHAN_ADMIN_TOKEN"])
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201, answer.status


async def two_people_talk():
    async with Person("alice") as alice, Person("bob") as bob:
        for number in range(20):
            sent = await alice.client.send("bob", WKIMChannelType.PERSON, {"n": number})
            heard = await bob.hears()
            assert heard["payload"] == {"n": number}, heard
            assert heard["fromUid"] == "alice" and heard["channelType"] == 1, heard
            assert heard["messageId"] == sent["messageId"], (heard, sent)
        await bob.client.send("alice", WKIMChannelType.PERSON, {"text": "你好 \U0001f600"})
        assert (await alice.hears())["payload"] == {"text": "你好 \U0001f600"}
        await alice.client.ping()


async def a_repeated_message_is_delivered_once():
    async with Person("alice") as alice, Person("bob") as bob:
        first = await alice.client.send("bob", WKIMChannelType.PERSON, {"a": 1}, client_msg_no="the same")
        again = await alice.client.send("bob", WKIMChannelType.PERSON, {"a": 1}, client_msg_no="the same")
        assert first["messageId"] == again["messageId"]
        assert (await bob.hears())["clientMsgNo"] == "the same"
        await bob.hears_nothing()


async def a_group_hears_what_a_member_says():
    create_group("python", "alice", ["bob", "carol"])
    async with Person("alice") as alice, Person("bob") as bob, Person("carol") as carol:
        await bob.client.send("python", WKIMChannelType.GROUP, {"to": "all"})
        for member in (alice, carol):
            heard = await member.hears()
            assert heard["channelId"] == "python" and heard["channelType"] == 2, heard
            assert heard["fromUid"] == "bob" and heard["payload"] == {"to": "all"}, heard


async def who_was_away_gets_it_on_coming_back():
    async with Person("carol") as carol:
        await carol.client.send("alice", WKIMChannelType.PERSON, {"text": "I was here"})
    async with Person("bob") as bob:
        for number in range(5):
            await bob.client.send("carol", WKIMChannelType.PERSON, {"missed": number})
    async with Person("carol") as carol:
        heard = [(await carol.hears())["payload"] for _ in range(5)]
        assert heard == [{"missed": number} for number in range(5)], heard


async def what_is_not_to_be_stored_reaches_only_who_is_there():
    async with Person("alice") as alice, Person("bob") as bob:
        await alice.client.send("bob", WKIMChannelType.PERSON, {"now": True}, header={"noPersist": True})
        assert (await bob.hears())["header"]["noPersist"] is True


async def a_bad_token_and_an_unknown_group_are_refused_with_codes():
    stranger = WKIM(URL, AuthOptions(uid="alice", token="not a token"), WKIMOptions(max_reconnect_attempts=0))
    try:
        await stranger.connect()
        raise AssertionError("let in with a bad token")
    except WKIMError as refused:
        assert refused.code > 0, refused.code
    finally:
        await stranger.destroy()
    async with Person("alice") as alice:
        try:
            await alice.client.send("nowhere", WKIMChannelType.GROUP, {"a": 1})
            raise AssertionError("sent to a group that is not there")
        except WKIMError as refused:
            assert refused.code > 0, refused.code


async def main():
    for test in (
        two_people_talk,
        a_repeated_message_is_delivered_once,
        a_group_hears_what_a_member_says,
        who_was_away_gets_it_on_coming_back,
        what_is_not_to_be_stored_reaches_only_who_is_there,
        a_bad_token_and_an_unknown_group_are_refused_with_codes,
    ):
        await asyncio.wait_for(test(), 60)
        print("ok ", test.__name__)


asyncio.run(main())

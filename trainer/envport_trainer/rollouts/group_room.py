"""How many rollouts the groups that an environment compares may hold open at once.

A member that has finished holds its rollout open for those that are still to start. Groups of which each got a part of
the room would wait for each other for ever: so a group begins when all its members fit, and where they do not fit after
all, for other clients or uneven workers, it gives its rollouts back and begins again later.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from envport_trainer.errors import TrainerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from envport.client import EnvClient


class GroupRoom:
    """The room of one environment, in rollouts. Its groups share it, see `room_of`."""

    def __init__(self, max_rollouts: int) -> None:
        self._max_rollouts = self.size = max_rollouts
        """What groups may hold: less after a group found no room, more for each that was played to its end."""
        self.held = 0
        """What groups hold, those that are giving it back included."""
        self.giving_back = 0
        self._moved = asyncio.Condition()

    @asynccontextmanager
    async def place(self, members: int) -> AsyncGenerator[Place]:
        """Held while a group is played. Waits until all its members fit, or no other group is there."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.held == 0 or self.held + members <= self.size)
            self.held += members
        place = Place(self, members)
        try:
            yield place
            self.size = min(self.size + members, self._max_rollouts)
        finally:
            self.held -= members
            self.giving_back -= members if place.is_given_up else 0
            async with self._moved:
                self._moved.notify_all()


class Place:
    """The right of one group to be played."""

    def __init__(self, room: GroupRoom, members: int) -> None:
        self._room, self._members = room, members
        self.is_given_up = False

    def gives_way(self) -> bool:
        """Whether the group, which found no room, is to begin again later; the last one of all waits where it is."""
        staying = self._room.held - self._room.giving_back
        if not self.is_given_up and staying > self._members:
            self.is_given_up = True
            self._room.giving_back += self._members
            self._room.size = staying - self._members
        return self.is_given_up


_KNOWN: WeakKeyDictionary[EnvClient, GroupRoom] = WeakKeyDictionary()


def room_of(env: EnvClient) -> GroupRoom:
    """The one of this client of an environment."""
    return _KNOWN.setdefault(env, GroupRoom(env.manifest.limits.max_rollouts))


def check_room(env: EnvClient, group_size: int) -> None:
    """Returns where a whole group can be open at once.

    Raises:
        TrainerError: it cannot, so no group would ever be scored.
    """
    most = env.manifest.limits.max_rollouts
    if group_size > most:
        raise TrainerError(
            f"{env.url} compares the rollouts of a group and holds {most} at most, but group_size is {group_size}; "
            "lower it, or serve the environment with a higher --max-rollouts"
        )

"""For each check a server that breaks what it checks, a file for each group of promises."""

from __future__ import annotations

from .answering import ANSWERING
from .guarding import GUARDING
from .keeping import KEEPING
from .repeating import REPEATING
from .telling import TELLING
from .waiting import WAITING

BREAKERS = {**REPEATING, **ANSWERING, **WAITING, **KEEPING, **GUARDING, **TELLING}

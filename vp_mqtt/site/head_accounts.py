"""The accounts at a head office's broker: its people's, and one for the bridge of each cell."""

from __future__ import annotations

from vp_mqtt.protocol.topics import ANY, ROOT, Topics
from vp_mqtt.site.accounts import Account, Right
from vp_mqtt.site.head_plan import Head, HeadPlan


def bridge_stem(cell: str) -> str:
    """Return the path, within the head office's folder, of the files of a cell's bridge, without suffix."""
    return f"bridges/{cell}"


def head_accounts(head: Head) -> list[Account]:
    """Return all accounts at the head office's broker: first the cells', then the people's."""
    plan = head.plan
    return [*(Account(cell.name, "cell", None, _bridge(plan, cell.name)) for cell in head.cells), *_people(plan)]


def _bridge(plan: HeadPlan, cell: str) -> tuple[Right, ...]:
    # A cell publishes under its own name only: another one's states are beyond its reach.
    site = Topics(cell)
    rights = [
        Right("write", topic)
        for topic in (site.state(ANY), site.status(ANY), site.stats(ANY), site.presence(ANY), site.link())
    ]
    if plan.labels:
        rights.append(Right("write", site.label(ANY)))
    if plan.bundles:
        rights.append(Right("read", f"{ROOT}/{cell}/bundle/#"))
    return tuple(rights)


def _people(plan: HeadPlan) -> list[Account]:
    every = Topics(ANY)
    # A watcher sees what the cells send, an operator the bundles, too.
    look = tuple(
        Right("read", topic)
        for topic in (
            *(every.label(ANY), every.state(ANY), every.status(ANY)),
            *(every.stats(ANY), every.presence(ANY), every.link()),
        )
    )
    operate = (
        *look,
        # To clear the retained messages of a node, or of a cell, that has been removed.
        *(Right("write", topic) for topic in (every.status(ANY), every.presence(ANY), every.link())),
        *((Right("readwrite", f"{ROOT}/{ANY}/bundle/#"),) if plan.bundles else ()),
    )
    return [
        Account(person.name, person.role, None, operate if person.role == "operator" else look)
        for person in plan.people
    ]

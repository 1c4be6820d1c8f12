"""What is told of a server, folded into what is known of it. Pure; a part of :mod:`comfytui.model.fold`."""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from comfytui.model import events as e
from comfytui.model.state import GPU_SAMPLES, GpuMoment, LogTail, OwnProcess, Server, State, Trouble


def servers_of(opened: e.RunOpened) -> tuple[Server, ...]:
    """Return what is known of the servers of a run that just opened: where they are, no more."""
    briefs = opened.servers or ()
    several = tuple(Server(name=each.name, url=each.url, tags=each.tags, weight=each.weight) for each in briefs)
    return several or (Server(url=opened.server),)


def fold_server_fact(state: State, fact: e.ServerFact, at: datetime) -> State:
    """Return the state after ``fact``; the same one when it is about no server of the run."""
    match fact:
        case e.ServerReached() | e.ServerTroubled() | e.ServerLeftOut() | e.SocketChanged():
            return _changed(state, fact.server, lambda server: _told(server, fact, at))
        case e.ServerAway() | e.ServerGivenUp() | e.ServerBack():
            return _changed(state, fact.server, lambda server: _presence(server, fact, at))
        case e.ServerStarted() | e.ServerDied() | e.ServerStopped():
            return _changed(state, fact.server, lambda server: _own(server, fact))
        case _:
            return state


def fold_server_sample(state: State, sample: e.ServerSample, at: datetime) -> State:
    """Return the state after ``sample``; the same one when it is about no server of the run."""
    changed = _changed(state, sample.server, lambda server: _read(server, sample, at))
    return state if changed is state else replace(changed, at=at)


def _changed(state: State, name: e.Named, change: Callable[[Server], Server]) -> State:
    """Return the state with that server changed. Without a name it is the first: of old, a run had but one."""
    for place, server in enumerate(state.servers):
        if not name or server.name == name:
            return replace(state, servers=(*state.servers[:place], change(server), *state.servers[place + 1 :]))
    return state


def _read(server: Server, sample: e.ServerSample, at: datetime) -> Server:
    match sample:
        case e.QueueDepth():
            deep = replace(server, ours=sample.ours, others=sample.others)
            return deep if sample.others else replace(deep, listed=(), more=0)
        case e.QueueListed():
            return replace(server, listed=sample.others, more=sample.more)
        case e.GpuSampled():
            moment = GpuMoment(at=at, devices=sample.devices)
            return replace(server, gpu=(*server.gpu[-(GPU_SAMPLES - 1) :], moment), gpu_source=sample.source)
        case e.Pulse():
            answering = sample.latency is not None
            return replace(
                server, answering=answering, latency=sample.latency, pulse_at=at, next_try=sample.next_try
            )  # fmt: skip
        case e.ServerLog():
            return replace(server, log=LogTail(at=at, lines=sample.lines, why=sample.why))
        case _:
            return server


def _told(
    server: Server, fact: e.ServerReached | e.ServerTroubled | e.ServerLeftOut | e.SocketChanged, at: datetime
) -> Server:
    match fact:
        case e.ServerReached():
            return replace(
                server, url=fact.url, reached=True, left_out=False, version=fact.version, os=fact.os,
                python=fact.python, pytorch=fact.pytorch, output_dir=fact.output_dir, frames_by=fact.frames_by,
                devices=fact.devices, managed=fact.managed, trouble="", trouble_code="", remedy="", away_since=None,
                away_wait=None, next_try=None, lost=False,
            )  # fmt: skip
        case e.ServerTroubled():
            return _troubled(server, fact, at)
        case e.ServerLeftOut():
            return replace(_troubled(server, fact, at), left_out=True, pulse_at=at, next_try=fact.next_try)
        case e.SocketChanged():
            return replace(server, socket=fact.state, socket_why=fact.why)


def _troubled(server: Server, fact: e.ServerTroubled | e.ServerLeftOut | e.ServerAway, at: datetime) -> Server:
    trouble = Trouble(at=at, what=fact.what, code=fact.code, remedy=fact.remedy)
    return replace(
        server, trouble=fact.what, trouble_code=fact.code, remedy=fact.remedy, last_trouble=trouble
    )  # fmt: skip


def _own(server: Server, fact: e.ServerStarted | e.ServerDied | e.ServerStopped) -> Server:
    if isinstance(fact, e.ServerStarted):
        own = OwnProcess(pid=fact.pid, created=fact.created, executable=fact.executable, host=fact.host)
        return replace(server, own=own, restarts=max(server.restarts, fact.restarts))
    return replace(server, own=None) if server.own is not None and server.own.pid == fact.pid else server


def _presence(server: Server, fact: e.ServerAway | e.ServerGivenUp | e.ServerBack, at: datetime) -> Server:
    match fact:
        case e.ServerAway():
            return replace(
                _troubled(server, fact, at), answering=False, away_since=server.away_since or at, away_wait=fact.wait,
                pulse_at=at, next_try=fact.next_try,
            )  # fmt: skip
        case e.ServerGivenUp():
            return replace(server, lost=True)
        case e.ServerBack():
            return replace(
                server, answering=True, away_since=None, away_wait=None, next_try=None, lost=False, trouble="",
                trouble_code="", remedy="",
            )  # fmt: skip

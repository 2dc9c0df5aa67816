"""Timeouts where a socket, connection or client is made."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    indented,
    insert_after,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of
from selfheal_engine.patch_generator.strategies.timeout_guard.apis import (
    BY_MODULE,
    KINDS,
    STRATEGY,
    Api,
    has_timeout,
    inside_try,
    timeout_value,
    with_timeout,
)


class LimitSocket(Rule):
    """Sets the socket's timeout where it is made, for a `recv` or `accept` that waits."""

    name = "limit_socket"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import socket


                def f(host):
                    peer = socket.socket()
                    peer.connect((host, 80))
                    return peer.recv(10)  # <- here
                """,
            after="""
                import socket


                def f(host):
                    peer = socket.socket()
                    peer.settimeout(5)
                    peer.connect((host, 80))
                    return peer.recv(10)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                def f(peer):
                    return peer.read(10)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        seconds = timeout_value(scene)
        for node in parts_of(scene.statement):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            waits = called_name(node) in ("recv", "recvfrom", "recv_into", "connect", "accept")
            if not waits or not isinstance(owner, ast.Name):
                continue
            made = last_assignment(scene.file, scene.function, owner.id, node.lineno)
            if made is None or not isinstance(made[1], ast.Call):
                continue
            if called_name(made[1]) not in ("socket", "accept") or made[2] == "loop":
                continue
            if f"{owner.id}.settimeout" in scene.file.text or isinstance(made[0], ast.With):
                continue
            yield scene.draft(
                insert_after(made[0], f"{owner.id}.settimeout({seconds})"),
                title=f"wait at most {seconds} s on `{owner.id}`",
                weight=1.1,
            )


class LimitMaker(Rule):
    """Gives the timeout where the waiting connection or client is made."""

    name = "limit_maker"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import http.client


                def f(host):
                    connection = http.client.HTTPConnection(host)
                    connection.request('GET', '/')
                    return connection.getresponse()  # <- here
                """,
            after="""
                import http.client


                def f(host):
                    connection = http.client.HTTPConnection(host, timeout=5)
                    connection.request('GET', '/')
                    return connection.getresponse()  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import socket


                def f(host):
                    with socket.create_connection((host, 80)) as peer:
                        peer.sendall(b'hello')
                        return peer.recv(10)  # <- here
                """,
            after="""
                import socket


                def f(host):
                    with socket.create_connection((host, 80), timeout=5) as peer:
                        peer.sendall(b'hello')
                        return peer.recv(10)  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                def f(connection):
                    return connection.getresponse()  # <- here
                """,
            kind="stall",
        ),
        Example(
            before="""
                import socket


                def f(host, peer):
                    with socket.create_connection((host, 80)) as other:
                        other.sendall(b'hello')
                    return peer.recv(10)  # <- here
                """,
            kind="stall",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "stall" and "time" not in scene.exception.lower():
            return
        seconds = timeout_value(scene)
        owners = {
            scene.text(n.func.value).rpartition(".")[2]
            for n in parts_of(scene.statement)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
        }
        # what the failing call was given by this function
        lent = {
            argument.id
            for n in parts_of(scene.statement)
            if isinstance(n, ast.Call) and scene.depth
            for argument in n.args
            if isinstance(argument, ast.Name)
        }
        for file in [scene.file, *(f for f in scene.sources.all() if f is not scene.file)]:
            if is_test(file.path):
                continue
            for names, made in _made(file):
                within = file.function_of(made)
                handed = lent if within is scene.function else set()
                if not names & (owners | handed):
                    continue
                api = _maker(file, made)
                if api is None or has_timeout(made, api):
                    continue
                limit = with_timeout(made, api, seconds)
                title = f"make `{min(names)}` with a timeout of {seconds} s"
                near = 1.0 if file is scene.file else 0.8
                yield scene.draft(limit, title=title, weight=1.25 * near, file=file)
                yield from self._answered(scene, file, limit, title, near)

    @staticmethod
    def _answered(
        scene: Scene, file: SourceFile, limit: Edit, title: str, near: float
    ) -> Iterator[Draft]:
        """With the timeout, the answer to its end: as the project answers a failed upstream."""
        anchor = anchor_of(scene.file, scene.statement)
        if anchor is None or inside_try(scene):
            return
        words = ("timeout", "upstream", "unavailable")
        for refusal in refusals(
            scene.conventions,
            scene.file,
            scene.function,
            (504, 503, 502),
            "it took too long",
            words,
        ):
            code, clause = refusal.code, "except TimeoutError:"
            if code.startswith("raise ") and "\n" not in code:
                code, clause = f"{code} from error", "except TimeoutError as error:"
            wrapped = f"try:\n    {BODY}\n{clause}\n{indented(code)}\n"
            edits = [(scene.file.path, replace_statements([anchor], wrapped)), (file.path, limit)]
            edits += [(scene.file.path, edit) for edit in refusal.imports]
            yield Draft(
                tuple(edits),
                f"{title}, then {refusal.title}",
                near * refusal.weight,
                line=anchor.lineno,
            )
            return


def _made(file: SourceFile) -> Iterator[tuple[set[str], ast.Call]]:
    """(names, call) of everything that a call makes and an assignment or a `with` names."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            yield {file.segment(t).rpartition(".")[2] for t in node.targets}, node.value
        elif isinstance(node, ast.withitem):
            made, name = node.context_expr, node.optional_vars
            if isinstance(made, ast.Call) and isinstance(name, ast.Name):
                yield {name.id}, made


def _maker(file: SourceFile, call: ast.Call) -> Api | None:
    """The timeout of a constructor, by its module or by its well-known name."""
    name = called_name(call)
    if isinstance(call.func, ast.Attribute):
        module = file.segment(call.func.value).rpartition(".")[2]
        return BY_MODULE.get(module, {}).get(name)
    if not name[:1].isupper():
        return None
    return next((calls[name] for calls in BY_MODULE.values() if name in calls), None)

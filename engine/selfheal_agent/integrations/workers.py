"""Servers and workers that are neither WSGI nor ASGI: http.server, Celery, RQ, executors.

What runs a job counts as a request of its own, named by the job.
"""

from __future__ import annotations

from _thread import get_ident

from selfheal_agent import notes, queues, requests
from selfheal_agent.capture import Capture

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from typing import Any


def _begin(kind: str, route: str) -> requests.InFlight:
    request = requests.InFlight(kind, {}, get_ident())
    request.route = route
    requests.in_flight[request.key] = request
    return request


def patch_http_server(module: Any, capture: Capture) -> None:
    handler = module.BaseHTTPRequestHandler
    parse, answer, handle = handler.parse_request, handler.send_response, handler.handle_one_request

    def parse_request(self: Any) -> Any:
        ready = parse(self)
        request = requests.in_flight.get(get_ident())
        if ready and request is not None and request.kind == "http.server":
            path = str(self.path).split("?", 1)
            request.route = f"{self.command} {requests.plain_path(path[0])}"
            request.environ = {
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path[0],
                "QUERY_STRING": path[1] if len(path) > 1 else "",
            }
            request.started = requests.clock()
            request.served = True
        return ready

    def send_response(self: Any, code: Any, message: Any = None) -> Any:
        request = requests.in_flight.get(get_ident())
        if request is not None and request.kind == "http.server":
            request.status = int(code)
        return answer(self, code, message)

    def handle_one_request(self: Any) -> Any:
        key = get_ident()
        if key in requests.in_flight:
            return handle(self)
        request = requests.InFlight("http.server", {}, key)
        requests.in_flight[key] = request
        failed = True
        try:
            result = handle(self)
            failed = False
            return result
        except Exception as why:
            capture.exception(why, "http.server")
            raise
        finally:
            if request.served and not _is_wsgi(self):
                requests.end(request, failed)
            elif requests.in_flight.get(key) is request:
                del requests.in_flight[key]

    handler.parse_request = parse_request
    handler.send_response = send_response
    handler.handle_one_request = handle_one_request


def _is_wsgi(handler: Any) -> bool:
    # wsgiref and werkzeug build on this class; their WSGI wrapper counts the request
    return hasattr(handler, "get_environ") or hasattr(handler, "make_environ")


def patch_socketserver(module: Any, capture: Capture) -> None:
    import sys

    original = module.BaseServer.handle_error

    def handle_error(self: Any, request: Any, client_address: Any) -> Any:
        capture.exception(sys.exc_info()[1], "socketserver")
        return original(self, request, client_address)

    module.BaseServer.handle_error = handle_error


def patch_celery(module: Any, capture: Capture) -> None:
    requests.framework = "celery"
    original = module.build_tracer

    def build_tracer(name: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        tracer = original(name, task, *args, **kwargs)

        def trace_task(*a: Any, **k: Any) -> Any:
            request = _begin("task", f"task {name}")
            failed = True
            try:
                result = tracer(*a, **k)
                failed = bool(getattr(result, "info", None) is not None)
                return result
            finally:
                requests.end(request, failed)

        return trace_task

    module.build_tracer = build_tracer
    handle = module.TraceInfo.handle_failure

    def handle_failure(self: Any, *args: Any, **kwargs: Any) -> Any:
        capture.exception(getattr(self, "retval", None), "celery")
        return handle(self, *args, **kwargs)

    module.TraceInfo.handle_failure = handle_failure


def patch_rq(module: Any, capture: Capture) -> None:
    requests.framework = "rq"
    worker = getattr(module, "BaseWorker", None) or module.Worker
    perform, fail = module.Worker.perform_job, worker.handle_exception

    def perform_job(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        request = _begin("task", f"job {getattr(job, 'func_name', '')}")
        failed = True
        try:
            result = perform(self, job, *args, **kwargs)
            failed = not result
            return result
        finally:
            requests.end(request, failed)

    def handle_exception(self: Any, job: Any, *exc_info: Any) -> Any:
        if len(exc_info) == 3:
            capture.exception(exc_info[1], "rq", tb=exc_info[2])
        return fail(self, job, *exc_info)

    work = module.Worker.work

    def work_and_tell(self: Any, *args: Any, **kwargs: Any) -> Any:
        _tell_rq(self)
        return work(self, *args, **kwargs)

    module.Worker.work = work_and_tell
    module.Worker.perform_job = perform_job
    worker.handle_exception = handle_exception


_MISTAKES = (TypeError, AttributeError, LookupError, NameError, ArithmeticError, AssertionError)
"""Bugs whoever asks for the future's result; other errors may be an answer that is expected."""


def patch_executor(module: Any, capture: Capture) -> None:
    original = module._WorkItem.run

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        future = self.future
        result = original(self, *args, **kwargs)
        exc = future.__dict__.get("_exception")
        if exc is not None and issubclass(type(exc), _MISTAKES):
            capture.exception(exc, "executor")
        return result

    module._WorkItem.run = run


def patch_transport(module: Any, capture: Capture) -> None:
    """Exceptions that a worker process sends home lose their frames on the way."""
    name = "_ExceptionWithTraceback"
    cls = getattr(module, name, None) or getattr(module, "ExceptionWithTraceback", None)
    if cls is None:
        return
    original = cls.__init__

    def __init__(self: Any, exc: Any, tb: Any) -> None:  # noqa: N807
        if issubclass(type(exc), BaseException) and type(tb) is not str:
            capture.exception(exc, "worker process", tb=tb)
        original(self, exc, tb)

    cls.__init__ = __init__


def patch_process(module: Any, capture: Capture) -> None:
    """A child process whose target raises prints the traceback itself and exits."""
    original = module.BaseProcess.run

    def run(self: Any) -> Any:
        try:
            return original(self)
        except Exception as why:
            capture.exception(why, "multiprocessing")
            raise

    module.BaseProcess.run = run


def _tell_rq(worker: Any) -> None:
    """Where the worker's queues are: a list each, in the Redis that it is connected to."""
    try:
        given = worker.connection.connection_pool.connection_kwargs
        place = given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"
        keys = [str(queue.key) for queue in worker.queues]
        url = f"{'unix' if given.get('path') else 'redis'}://{place}/{given.get('db') or 0}"
        _tell_broker(url, keys, given.get("username"), given.get("password"))
    except Exception as why:
        notes.note(f"the queues of RQ cannot be told: {type(why).__name__}: {why}")


def patch_celery_worker(module: Any, capture: Capture) -> None:
    original = module.WorkController.start

    def start(self: Any) -> Any:
        _tell_celery(self.app)
        return original(self)

    module.WorkController.start = start


def _tell_celery(app: Any) -> None:
    """Where Celery's queues are, when its broker is a Redis or a RabbitMQ."""
    try:
        names = [str(name) for name in app.amqp.queues] or [str(app.conf.task_default_queue)]
        given = app.connection_for_read()  # what the settings come to; it is not opened
        if given.transport_cls == "redis":
            _tell_celery_redis(app.conf.broker_read_url or app.conf.broker_url, names)
        elif given.transport_cls in ("amqp", "pyamqp", "amqps"):
            from urllib.parse import quote

            secure = given.transport_cls == "amqps" or given.ssl
            place = f"{given.hostname or 'localhost'}:{given.port or (5671 if secure else 5672)}"
            vhost = quote(given.virtual_host or "/", safe="")
            url = f"{'amqps' if secure else 'amqp'}://{place}/{vhost}"
            _tell_broker(url, names, given.userid, given.password)
    except Exception as why:
        notes.note(f"the queues of Celery cannot be told: {type(why).__name__}: {why}")


def _tell_celery_redis(url: Any, names: list[str]) -> None:
    """In Redis a queue is a list of its name."""
    from urllib.parse import unquote, urlsplit

    if type(url) is not str or not url.startswith(("redis://", "redis+socket://")):
        return
    parts = urlsplit(url)
    if parts.scheme == "redis":
        base = parts.path.strip("/") or "0"
        place = f"redis://{parts.hostname or 'localhost'}:{parts.port or 6379}/{base}"
    else:
        place = f"unix://{parts.path}/0"
    _tell_broker(place, names, unquote(parts.username or ""), unquote(parts.password or ""))


def _tell_broker(url: str, keys: Any, user: Any, password: Any) -> None:
    queues.brokers[url] = {
        "url": url,
        "keys": [key for key in keys if type(key) is str][:50],
        "user": user if type(user) is str else "",
        "password": password if type(password) is str else "",
    }

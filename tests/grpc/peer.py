"""A client and a server of gRPC's own core, with generic handlers: `peer.py server`, `peer.py client ADDRESS SECRET`."""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from concurrent import futures

import grpc

LARGE = 20 << 20
OPTIONS = [("grpc.max_receive_message_length", LARGE + 1024), ("grpc.max_send_message_length", LARGE + 1024)]


def handlers():
    """/peer.Peer/: Echo, Many, Count, Chat, Fail, Late, Slow, Told."""

    def echo(request, context):
        context.send_initial_metadata((("x-head", "1"),))
        context.set_trailing_metadata((("x-tail-bin", b"\x00\xff"),))
        return request

    def many(request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def count(requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def chat(requests, context):
        for request in requests:
            yield request

    def fail(request, context):
        code, _, detail = request.decode().partition(" ")
        context.abort([status for status in grpc.StatusCode if status.value[0] == int(code)][0], detail)

    def late(request, context):
        yield b"first"
        context.abort(grpc.StatusCode.INTERNAL, "then nothing")

    def slow(request, context):
        time.sleep(float(request))
        return request

    def told(request, context):
        left = context.time_remaining()
        metadata = {key: value if isinstance(value, str) else value.hex() for key, value in context.invocation_metadata()}
        return json.dumps({"left": left, "metadata": metadata}).encode()

    unary, streams = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    return {
        "Echo": unary(echo),
        "Many": streams(many),
        "Count": grpc.stream_unary_rpc_method_handler(count),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Fail": unary(fail),
        "Late": streams(late),
        "Slow": unary(slow),
        "Told": unary(told),
    }


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(64), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Peer", handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def token(secret, claims):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    body = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (body + b"." + part(hmac.new(secret.encode(), body, hashlib.sha256).digest())).decode()


def refused(call, code):
    """The error of a call that must fail with this code."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError(f"it did not fail with {code}")


def ask(address, secret):
    channel = grpc.insecure_channel(address, options=OPTIONS)
    method = lambda path: "/peer.Peer/" + path
    unary = lambda path: channel.unary_unary(method(path))
    status = grpc.StatusCode

    def done(name):
        print("ok", name, flush=True)

    answer, call = unary("Echo").with_call(b"hello", timeout=20)
    tail = dict(call.trailing_metadata())
    assert (answer, dict(call.initial_metadata())["x-head"], tail["x-tail-bin"]) == (b"hello", "1", b"\x00\xff"), call
    assert unary("Echo")(b"") == b""
    done("unary")

    assert list(channel.unary_stream(method("Many"))(b"1000", timeout=20)) == [str(n).encode() for n in range(1000)]
    done("server stream")
    assert channel.stream_unary(method("Count"))(iter([b"x" * 1000] * 500), timeout=20) == b"500000"
    done("client stream")

    # Each word is sent once the last one came back.
    turn = threading.Semaphore(1)

    def words():
        for number in range(100):
            turn.acquire()
            yield str(number).encode()

    heard = []
    for word in channel.stream_stream(method("Chat"))(words(), timeout=20):
        heard.append(word)
        turn.release()
    assert heard == [str(n).encode() for n in range(100)], heard
    done("both streams")

    assert len(unary("Echo")(b"x" * LARGE, timeout=60)) == LARGE
    done("a message of 20 MiB")

    error = refused(lambda: unary("Fail")(b"9 no\xc3\xa9 100%"), status.FAILED_PRECONDITION)
    assert error.details() == "no\u00e9 100%", error
    seen = []
    error = refused(lambda: seen.extend(channel.unary_stream(method("Late"))(b"")), status.INTERNAL)
    assert (error.details(), seen) == ("then nothing", []) or seen == [b"first"], (error, seen)
    done("statuses")

    began = time.monotonic()
    refused(lambda: unary("Slow")(b"5", timeout=0.5), status.DEADLINE_EXCEEDED)
    assert time.monotonic() - began < 3
    told = json.loads(unary("Told")(b"", timeout=30, metadata=(("x-own-bin", b"\x01"),)))
    # It sends a little more than it waits.
    assert 20 < told["left"] <= 31 and told["metadata"]["x-own-bin"] == "01", told
    assert json.loads(unary("Told")(b""))["left"] is None or json.loads(unary("Told")(b""))["left"] > 10**6
    done("deadlines")

    over = threading.Event()

    def open_end():
        yield b"a"
        over.wait(20)

    stream = channel.stream_stream(method("Chat"))(open_end(), timeout=20)
    assert next(stream) == b"a"
    stream.cancel()
    refused(lambda: list(stream), status.CANCELLED)
    over.set()
    done("cancelling")

    with futures.ThreadPoolExecutor(50) as pool:
        assert list(pool.map(lambda n: unary("Echo")(str(n).encode(), timeout=60), range(200))) == [str(n).encode() for n in range(200)]
    done("two hundred at once")

    # The filters. Each has a path of its own in front.
    claims = {"iss": "peer", "aud": "peer", "sub": "u-1", "exp": time.time() + 600, "roles": ["reader"]}
    bearer = lambda claims: (("authorization", "Bearer " + token(secret, claims)),)
    closed = channel.unary_unary("/closed/peer.Peer/Told")
    error = refused(lambda: closed(b""), status.UNAUTHENTICATED)
    assert error.details() == "A valid token is required.", error
    refused(lambda: closed(b"", metadata=bearer({**claims, "exp": 1})), status.UNAUTHENTICATED)
    assert json.loads(closed(b"", metadata=bearer(claims)))["metadata"]["x-user-id"] == "u-1"
    admin = channel.unary_unary("/admin/peer.Peer/Told")
    refused(lambda: admin(b"", metadata=bearer(claims)), status.PERMISSION_DENIED)
    admin(b"", metadata=bearer({**claims, "roles": ["admin"]}))
    done("jwt and rbac")

    few = channel.unary_unary("/few/peer.Peer/Echo")
    assert few(b"a") == b"a"
    error = refused(lambda: few(b"a"), status.RESOURCE_EXHAUSTED)
    assert int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 1000, error
    refused(lambda: channel.unary_unary("/office/peer.Peer/Echo")(b"a"), status.PERMISSION_DENIED)
    refused(lambda: channel.unary_unary("/nowhere/A")(b"a"), status.UNIMPLEMENTED)
    refused(lambda: channel.unary_unary("/gone/A")(b"a"), status.UNAVAILABLE)
    refused(lambda: channel.unary_unary("/late/peer.Peer/Slow")(b"5"), status.DEADLINE_EXCEEDED)
    refused(lambda: channel.unary_unary("/small/peer.Peer/Echo")(b"x" * 2000), status.RESOURCE_EXHAUSTED)
    done("limits and refusals")

    answer, call = channel.unary_unary("/guarded/peer.Peer/Echo").with_call(b'{"debug":1}')
    assert answer == b'{"debug":1}' and dict(call.initial_metadata())["x-version"] == "v1", call.initial_metadata()
    for _ in range(3):
        refused(lambda: channel.unary_unary("/guarded/peer.Peer/Fail")(b"13 broken"), status.INTERNAL)
    error = refused(lambda: channel.unary_unary("/guarded/peer.Peer/Echo")(b"a"), status.UNAVAILABLE)
    assert "not asked" in error.details(), error
    done("trim, headers, version_header and circuit_breaker")


if __name__ == "__main__":
    serve() if sys.argv[1] == "server" else ask(*sys.argv[2:])

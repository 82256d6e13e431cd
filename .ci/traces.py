#!/usr/bin/env python3
"""Checks the traces of the service with Python's OTLP messages, which Rust's share only the .proto files with.

    traces.py BINARY

Starts the service in the sandbox with this process as its collector, sends requests, stops the service, and checks what
it exported: parents, names, attributes, resource.
"""

import collections
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from typing import ClassVar

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

DEADLINE = 20  # of a request
SERVICE_DEADLINE = 60  # of the service, from start to exit
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE[::-1]}-{PARENT}-00"


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    exports: ClassVar[list[otlp.ExportTraceServiceRequest]] = []

    def do_POST(self):
        assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        assert self.headers["api-key"] == "a,b" and "content-encoding" not in self.headers
        body = self.rfile.read(int(self.headers["content-length"]))
        self.exports.append(otlp.ExportTraceServiceRequest.FromString(body))
        answer = otlp.ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def ask(url, parent=None, token=None, **options):
    request = urllib.request.Request(url, **options)
    for name, value in [("traceparent", parent), ("authorization", token and f"Bearer {token}")]:
        if value:
            request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def attributes(of):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def run_service(binary, collector):
    settings = {
        "HTTP_ADDR": "127.0.0.1:0",
        "METRICS_ADDR": "127.0.0.1:0",
        "LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%2Cb",
        "OTEL_SERVICE_NAME": "phones",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,deployment.environment.name=ci",
    }
    with tempfile.TemporaryDirectory() as folder:
        service = subprocess.Popen([binary], cwd=folder, env=settings, stderr=subprocess.PIPE, text=True)
        late = threading.Event()
        deadline = threading.Timer(SERVICE_DEADLINE, lambda: (late.set(), service.kill()))
        deadline.start()
        try:
            lines = (json.loads(line)["fields"] for line in service.stderr)
            fields = next((found for found in lines if "http.addr" in found), None)
            assert fields, "the service ended, or was killed at the deadline, before it listened"
            base = f"http://{fields['http.addr']}"
            threading.Thread(target=service.stderr.read, daemon=True).start()
            form = b"grant_type=client_credentials&client_id=sandbox&client_secret=sandbox"
            status, granted = ask(f"{base}/oauth2/token", data=form)
            assert status == 200, granted
            number = f"{base}/v1/persons/ada/mobile_number"
            assert ask(number, SAMPLED, granted["access_token"])[0] == 404
            assert ask(f"{base}/v1/mfa/devices", UNSAMPLED)[0] == 401
            assert ask(f"{base}/v1/mfa/devices", "00-invalid")[0] == 401
            assert ask(number, method="DELETE")[0] == 401
        finally:
            service.terminate()
            code = service.wait()
            deadline.cancel()
            assert not late.is_set(), f"the service and the requests took longer than {SERVICE_DEADLINE} seconds"
        assert code == 0, f"the service ended with {code}"


def check(exports):
    spans = collections.defaultdict(list)
    for resource in (one for export in exports for one in export.resource_spans):
        about = attributes(resource.resource)
        assert about["service.name"] == "phones" and about["deployment.environment.name"] == "ci", about
        assert re.fullmatch("[0-9a-f-]{36}", about["service.instance.id"]), about
        assert about["telemetry.sdk.name"] == "opentelemetry" and about["service.version"], about
        for scope in resource.scope_spans:
            assert scope.scope.name == "device-management", scope.scope
            for span in scope.spans:
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                assert len(span.trace_id) == 16 and len(span.span_id) == 8 and not span.events and not span.links
                spans[span.name].append(span)

    (read,) = spans["GET /v1/persons/{person_id}/mobile_number"]
    assert (read.trace_id.hex(), read.parent_span_id.hex()) == (TRACE, PARENT)
    assert read.kind == Span.SPAN_KIND_SERVER and read.status.code == Status.STATUS_CODE_UNSET
    found = attributes(read)
    assert re.fullmatch("[0-9a-f-]{36}", found.pop("device_management.request_id"))
    assert found == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.route": "/v1/persons/{person_id}/mobile_number",
        "url.scheme": "http",
        "device_management.client": "sandbox",
        "device_management.error_code": "model_not_found",
        "device_management.partner": "sandbox",
    }, found

    (statement,) = spans["SELECT mobile_number"]
    assert statement.kind == Span.SPAN_KIND_CLIENT and attributes(statement)["db.system.name"] == "sqlite"
    assert (statement.trace_id, statement.parent_span_id) == (read.trace_id, read.span_id)

    (devices,) = spans["GET /v1/mfa/devices"]  # the unsampled request has no span
    assert not devices.parent_span_id and devices.trace_id.hex() not in SAMPLED + UNSAMPLED
    (number,) = spans["DELETE /v1/persons/{person_id}/mobile_number"]
    assert attributes(number)["device_management.error_code"] == "token_required"
    return sum(map(len, spans.values()))


def main():
    (binary,) = sys.argv[1:]
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    run_service(os.path.realpath(binary), collector)
    print(f"{check(Collector.exports)} spans in {len(Collector.exports)} exports are right")


if __name__ == "__main__":
    main()

"""nginx twice: the mock that answers at once, and the proxy that sets the limit for gateways."""

from __future__ import annotations

import json
from pathlib import Path

from bench.target import UPSTREAM_MODEL

CONNECTIONS = 8192

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": UPSTREAM_MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The sea goes out and comes back, and nobody has to ask it to. " * 5,
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 180, "completion_tokens": 72, "total_tokens": 252},
    }
)
MODELS = json.dumps(
    {"object": "list", "data": [{"id": UPSTREAM_MODEL, "object": "model", "owned_by": "bench"}]}
)

FRAME = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr error;
worker_rlimit_nofile 20000;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_max_body_size 32m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{inside}
}}
"""

MOCK = """
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /v1/chat/completions {{ return 200 '{answer}'; }}
        location = /v1/models {{ return 200 '{models}'; }}
        location / {{ return 200 '{{}}'; }}
    }}
"""

KEEPALIVE = "keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 3600s;"
VERSION = 'proxy_http_version 1.1; proxy_set_header Connection "";'
PROXY = """
    upstream mock {{
        server 127.0.0.1:{upstream};
        {keepalive}
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://mock;
            {version}
            proxy_buffering {buffering};
        }}
    }}
"""


def mock_configuration(directory: Path, port: int) -> str:
    """A server that gives every chat request the same answer of about 600 bytes."""
    inside = MOCK.format(port=port, answer=ANSWER, models=MODELS)
    return FRAME.format(directory=directory, connections=CONNECTIONS, inside=inside)


def proxy_configuration(
    directory: Path, port: int, upstream: int, *, streaming: bool, kept: bool
) -> str:
    """One worker that passes everything on, over `kept` connections or new ones."""
    inside = PROXY.format(
        port=port,
        upstream=upstream,
        buffering="off" if streaming else "on",
        keepalive=KEEPALIVE if kept else "",
        version=VERSION if kept else "",
    )
    return FRAME.format(directory=directory, connections=CONNECTIONS, inside=inside)

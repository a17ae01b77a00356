"""Put the gateway on a running cluster: `python -m tests.chaos.deploy GCS_ADDRESS CONFIG_FILE PORT`."""

import sys

from serve_app.cli.head import APP_NAME
from serve_app.config.load import load_settings


def main() -> None:
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    from serve_app.app import graph

    address, config, port = sys.argv[1:]
    ray.init(address, namespace=APP_NAME)
    serve.start(
        proxy_location=ProxyLocation.EveryNode, http_options=HTTPOptions(host="127.0.0.1", port=int(port))
    )
    serve.run(graph(load_settings(config, {})), name=APP_NAME, route_prefix="/")


if __name__ == "__main__":
    main()

"""Who we call: adapters from one protocol of ours to the upstreams'."""

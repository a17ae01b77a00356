"""Providers: adapters from one protocol of the gateway to the APIs of upstreams."""

# Before the blocks of a page, for bash and dash: what a reader does with a second terminal, and no more.
# The gateway that a block starts runs in the background; the next start ends it, and so does the end.
set -e
sekha() {
    if [ "$1" = serve ]; then shift; start_gateway "$@"; else command sekha "$@"; fi
}
make() {
    [ "$1" = serve ] || { command make "$@"; return; }
    command make -n "$@" >/dev/null
    case "$2" in CONFIG=*) start_gateway --config "${2#CONFIG=}" ;; *) start_gateway ;; esac
}
curl() { command curl --silent --show-error --fail-with-body --max-time 60 --noproxy '*' "$@"; }
start_gateway() {
    stop_gateway
    : >"$HOME/gateway.log"  # here, not in the background: the last one's "is ready" must be gone
    $GATEWAY "$@" >>"$HOME/gateway.log" 2>&1 &
    gateway=$!
    tries=0
    until grep -q "is ready" "$HOME/gateway.log"; do
        tries=$((tries + 1))
        if [ $tries -gt 1200 ] || ! kill -0 $gateway 2>/dev/null; then cat "$HOME/gateway.log"; exit 97; fi
        sleep 0.1
    done
}
stop_gateway() {
    if [ -n "${gateway:-}" ]; then kill -TERM $gateway 2>/dev/null || true; wait $gateway || true; gateway=; fi
}
trap stop_gateway EXIT

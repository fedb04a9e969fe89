# Sourced: `settings MODULE` sets `settings` to the flags with which a guest of that module, named as its folder, starts in
# `drawspan plugin …`.
settings() {
    case $1 in
        authenticator) settings=(--config users=alice:wonder) ;;
        admission) settings=(--config deny=192.0.2.0/24) ;;
        bypass) settings=(--config 'domains=*.blocked') ;;
        hop) settings=(--config nodes=node-0=192.0.2.1:8080) ;;
        limiter) settings=(--config users=alice=none/500000B) ;;
        hosts) settings=(--config 'hosts=192.0.2.1 example.org') ;;
        resolver) settings=(--config 'zone=example.org A 192.0.2.1') ;;
        ingress) settings=(--config rules=example.org=4d21094e-b74c-4916-86c1-d9fa36ea677b --keyvalue default) ;;
        router) settings=(--config routes=192.0.2.0/24=gateway-0) ;;
        sd | observer) settings=(--keyvalue default) ;;
        recorder) settings=(--config redact=authorization) ;;
        # JavaScript's collector comes late when bodies are large.
        rewriter) settings=(--config 'replace=hello => goodbye' --plugin '{"memory": "256MiB"}') ;;
        *) echo "settings.sh knows no module $1" >&2; return 1 ;;
    esac
}
